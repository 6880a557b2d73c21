"""Pages as PDFs, printed by a browser of the machine, tagged for screen readers.

In: pages. Out: a PDF beside each, and why a page has none.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from wwc_research.atomic import written_whole
from wwc_research.errors import Faults, InputError

NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "microsoft-edge", "msedge")
# where the installers of the three makers put it, for machines on which it is not on the PATH
MACOS: Final = ("Chromium", "Google Chrome", "Microsoft Edge")
WINDOWS: Final = (r"Chromium\Application\chrome.exe", r"Google\Chrome\Application\chrome.exe")
WINDOWS_EDGE: Final = r"Microsoft\Edge\Application\msedge.exe"
SECONDS_A_PAGE: Final = 90
# no address is ever asked for: pages forbid it by their content policy, and the browser's own errands are switched off
ARGUMENTS: Final = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--no-pdf-header-footer",
    "--generate-pdf-document-outline",
)


def browser() -> Path:
    """The first Chromium, Chrome or Edge on the PATH or where its installer puts it.

    Raises
    ------
    InputError
        Where there is none.
    """
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    for path in _usual_places():
        if path.is_file():
            return path
    raise InputError(
        "PDFs need Chromium, Google Chrome or Microsoft Edge, and none was found; install one of them "
        "(on Debian: apt-get install chromium), or open a page in a browser and print it"
    )


def _usual_places() -> list[Path]:
    if sys.platform == "darwin":
        homes = (Path("/Applications"), Path.home() / "Applications")
        return [home / f"{name}.app" / "Contents" / "MacOS" / name for name in MACOS for home in homes]
    if sys.platform == "win32":
        homes = tuple(Path(os.environ[name]) for name in _PROGRAMS if os.environ.get(name))
        return [home / name for name in (*WINDOWS, WINDOWS_EDGE) for home in homes]
    return []


_PROGRAMS: Final = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")


def write_pdfs(pages: Sequence[Path], *, jobs: int = 1) -> dict[str, str]:
    """Print each page to a tagged PDF beside it (`page.html` to `page.pdf`); why it failed, by page.

    A PDF is written whole or not at all. Each browser has its own empty profile, which is removed afterwards.

    Parameters
    ----------
    pages
        HTML files.
    jobs
        How many browsers run at once.

    Raises
    ------
    InputError
        Where the machine has no browser that can print, or a page is absent.
    """
    faults = Faults("pages to print")
    for page in pages:
        if not page.is_file():
            faults.add(f"{page} is not there; make it first")
    faults.raise_if_any()
    if not pages:
        return {}
    program = browser()
    with ThreadPoolExecutor(max_workers=max(jobs, 1)) as pool:
        said = list(pool.map(lambda page: _print(page, program=program), pages))
    return {str(page): why for page, why in zip(pages, said, strict=True) if why}


def _print(page: Path, *, program: Path) -> str:
    """Print one page; what went wrong, empty where nothing did."""
    with tempfile.TemporaryDirectory(prefix="wwc-print-", ignore_cleanup_errors=True) as folder:
        made = Path(folder) / "page.pdf"
        command = [
            str(program),
            *ARGUMENTS,
            # a browser refuses its sandbox to the superuser, as whom containers run
            *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
            f"--user-data-dir={Path(folder) / 'profile'}",
            f"--print-to-pdf={made}",
            page.resolve().as_uri(),
        ]
        if failed := _run(command):
            return f"{program.name} {failed}"
        printed = made.read_bytes() if made.is_file() else b""
        if not (printed.startswith(b"%PDF-") and printed.rstrip().endswith(b"%%EOF")):
            return f"{program.name} ended well and wrote no whole PDF"
        with written_whole(page.with_suffix(".pdf")) as beside:
            beside.write_bytes(without_dates(printed))
    return ""


def _run(command: Sequence[str]) -> str:
    """Run a browser to its end or to the end of its time; what went wrong, empty where nothing did."""
    # a session of its own: a browser is many processes, and all of them must end with it
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            _, told = process.communicate(timeout=SECONDS_A_PAGE)
        except subprocess.TimeoutExpired:
            return f"did not end within {SECONDS_A_PAGE} seconds"
        finally:
            _end(process)
    lines = told.decode(errors="replace").strip().splitlines()
    return f"ended with status {process.returncode}: {lines[-1] if lines else ''}" if process.returncode else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a browser; nothing where all of it has ended."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()


def without_dates(printed: bytes) -> bytes:
    """The PDF without its times of making, so that the same page gives the same file.

    The entries are blanked in place: every object stays where the table of objects says (ISO 32000-1, 7.5.4), and
    both entries are optional (14.3.3).
    """
    return _DATES.sub(lambda found: b" " * len(found.group()), printed)


_DATES: Final = re.compile(rb"/(?:CreationDate|ModDate) ?\(D:[^)]*\)")

__all__ = ["browser", "without_dates", "write_pdfs"]
