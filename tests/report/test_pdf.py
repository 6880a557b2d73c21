import os
import re
import shutil
import stat
import sys
from pathlib import Path

import pytest

from wwc_research.errors import InputError
from wwc_research.report import pdf

HAS_BROWSER = any(shutil.which(name) for name in pdf.NAMES)
needs_browser = pytest.mark.skipif(not HAS_BROWSER, reason="there is no Chromium, Chrome or Edge on this machine")
needs_shell = pytest.mark.skipif(sys.platform == "win32", reason="the programs that stand in are shell scripts")
WHOLE = "%PDF-1.4 page %%EOF"


def stand_in(folder: Path, script: str) -> Path:
    """A program by the name of a browser that finds the wanted file in `$out`."""
    program = folder / "chromium"
    find = 'for word in "$@"; do case "$word" in --print-to-pdf=*) out="${word#*=}";; esac; done\n'
    program.write_text(f"#!/bin/sh\n{find}{script}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "pages" / "a page.html"
    path.parent.mkdir()
    path.write_text("<p>x</p>", encoding="utf-8")
    return path


@needs_browser
def test_a_page_for_staff_is_printed_as_a_tagged_pdf_of_at_most_three_pages(pages):
    page = pages.path("improvement.staff")
    assert pdf.write_pdfs([page]) == {}
    printed = page.with_suffix(".pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    # the browser compresses what is drawn, and leaves the objects of pages, structure and title readable
    assert b"/StructTreeRoot" in printed
    assert b"/MarkInfo" in printed
    assert b"/Lang (en)" in printed
    assert b"/Title (Broadband access and What Works Cities Certification)" in printed
    assert 0 < len(re.findall(rb"/Type\s*/Page\b", printed)) <= 3
    assert b"Date (D:" not in printed
    assert b"/Outlines" in printed


@needs_shell
def test_a_pdf_that_could_not_be_printed_is_told_and_its_neighbours_are_made(page, monkeypatch):
    stand_in(page.parent, f'case "$*" in *bad*) echo "no display" >&2; exit 3;; esac; printf %s "{WHOLE}" > "$out"')
    monkeypatch.setattr(shutil, "which", lambda name: str(page.parent / "chromium"))
    bad = page.with_name("bad.html")
    bad.write_text("", encoding="utf-8")
    assert pdf.write_pdfs([bad, page], jobs=2) == {str(bad): "chromium ended with status 3: no display"}
    assert page.with_suffix(".pdf").read_text(encoding="utf-8") == WHOLE
    assert not bad.with_suffix(".pdf").exists()
    assert not list(page.parent.glob(".*"))


@needs_shell
def test_half_a_pdf_takes_no_ones_place(page, monkeypatch):
    before = page.with_suffix(".pdf")
    before.write_text("the last one", encoding="utf-8")
    stand_in(page.parent, 'printf "%%PDF-1.4 and then no" > "$out"')
    monkeypatch.setattr(shutil, "which", lambda name: str(page.parent / "chromium"))
    assert pdf.write_pdfs([page]) == {str(page): "chromium ended well and wrote no whole PDF"}
    assert before.read_text(encoding="utf-8") == "the last one"


@needs_shell
def test_a_browser_that_hangs_is_ended_with_all_its_children(page, monkeypatch):
    children = page.with_name("children")
    stand_in(page.parent, f'sleep 60 & echo $! > "{children}"; wait')
    monkeypatch.setattr(shutil, "which", lambda name: str(page.parent / "chromium"))
    monkeypatch.setattr(pdf, "SECONDS_A_PAGE", 0.5)
    assert pdf.write_pdfs([page]) == {str(page): "chromium did not end within 0.5 seconds"}
    child = int(children.read_text(encoding="utf-8"))
    assert not _runs(child)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text(encoding="utf-8").split(")")[1].split()[0] != "Z"


def test_without_a_browser_the_reader_is_told_what_to_install(page, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(pdf, "_usual_places", list)
    with pytest.raises(InputError, match="PDFs need Chromium, Google Chrome or Microsoft Edge"):
        pdf.write_pdfs([page])
    assert pdf.write_pdfs([]) == {}


def test_pages_that_are_not_there_are_named_all_at_once(tmp_path):
    with pytest.raises(InputError, match=r"2 faults[\s\S]*one\.html[\s\S]*two\.html"):
        pdf.write_pdfs([tmp_path / "one.html", tmp_path / "two.html"])


def test_a_browser_is_found_where_its_installer_puts_it(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "platform", "win32")
    for name in pdf._PROGRAMS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROGRAMFILES(X86)", str(tmp_path))
    program = tmp_path / pdf.WINDOWS_EDGE
    program.parent.mkdir(parents=True, exist_ok=True)
    program.touch()
    assert pdf.browser() == program


def test_the_times_are_blanked_without_moving_anything():
    before = b"<< /Creator (x) /CreationDate (D:20261122234312+00'00') /ModDate (D:2026) >> /Title (D:1)"
    after = pdf.without_dates(before)
    assert len(after) == len(before)
    assert after.split() == [b"<<", b"/Creator", b"(x)", b">>", b"/Title", b"(D:1)"]
