"""Many downloads of a page are one archive, and nothing in them is lost."""

from __future__ import annotations

import base64
import io
import re
import zipfile

from markupsafe import Markup

from wwc_research.report import archive, html

ROWS = [{"city": "São Paulo, <SP>", "value": 1.5}, {"city": "=HYPERLINK(x)", "value": 2}]


def _page(n: int, *, name: str = "") -> str:
    tables = [
        html.table(ROWS, caption=f"Table {k}", columns={"city": "City", "value": "V"}, name=name) for k in range(n)
    ]
    return str(Markup("").join(table.html for table in tables)) + archive.PLACE


def _files(page: str) -> dict[str, bytes]:
    found = re.search(r'href="data:application/zip;base64,([^"]+)"', page)
    assert found is not None
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(found[1]))) as packed:
        assert packed.testzip() is None
        return {name: packed.read(name) for name in packed.namelist()}


def test_few_files_stay_behind_links_of_their_own() -> None:
    page = _page(archive.MOST_LINKS)
    assert archive.gathered(page, name="x") == page.replace(archive.PLACE, "")


def test_many_files_become_one_archive_that_holds_each_of_them_whole() -> None:
    page = archive.gathered(_page(9), name="broadband")
    files = _files(page)
    assert list(files) == [f"table_{k}.csv" for k in range(9)]
    assert set(files.values()) == {'city,value\n"São Paulo, <SP>",1.5\n\'=HYPERLINK(x),2\n'.encode()}
    assert "data:text/" not in page
    assert 'download="broadband.zip"' in page
    assert all(f'<a href="#all-files">{name}</a>' in page for name in files)
    assert page.count('id="all-files"') == 1


def test_files_of_one_name_are_told_apart_in_the_archive() -> None:
    assert list(_files(archive.gathered(_page(8, name="same"), name="x"))) == [
        "same.csv",
        *(f"same_{k}.csv" for k in range(2, 9)),
    ]


def test_the_same_page_gives_the_same_archive() -> None:
    assert archive.gathered(_page(9), name="x") == archive.gathered(_page(9), name="x")
