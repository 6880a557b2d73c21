"""Time of outcome pages against the commands that people use: python benchmarks/report.py > benchmarks/report.md

One run makes pages three ways from the same notebook and evidence files: a loop of the `papermill` and
`jupyter nbconvert --to html` commands, the engine with forked kernels, and the engine with fresh ones.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from wwc_research.report import engine
from wwc_research.report.page_work import EngineKind, PageWork

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "outcome_report.ipynb"
SCRIPTS = Path(sys.executable).parent
VERSIONS = ("papermill", "nbconvert", "ipykernel", "jupyter_client", "matplotlib", "pandas")


def works(folder: Path, *, count: int) -> list[PageWork]:
    """Pages of every question there is evidence for, for both audiences, in one language after another."""
    found = sorted((ROOT / "data" / "processed" / "evidence" / "findings").glob("*/*.json"))
    if not found:
        sys.exit("no evidence to show: run `make report` first")
    every = [
        (path, audience, language)
        for language in ("en", "es", "pt")
        for path in found
        for audience in ("research", "staff")
    ]
    return [
        PageWork(
            name=f"{path.parent.name}/{path.stem}.{audience}.{language}",
            notebook=NOTEBOOK,
            executed=folder / "executed" / path.parent.name / f"{path.stem}.{audience}.{language}.ipynb",
            target=folder / "pages" / path.parent.name / f"{path.stem}.{audience}.{language}.html",
            parameters={
                "evidence_path": Path(os.path.relpath(path, NOTEBOOK.parent)).as_posix(),
                "audience": audience,
                "language": language,
            },
            title=path.stem,
            language=language,
            audience=audience,
        )
        for path, audience, language in every[:count]
    ]


def commands(work: PageWork) -> None:
    """One page by the two commands."""
    work.executed.parent.mkdir(parents=True, exist_ok=True)
    work.target.parent.mkdir(parents=True, exist_ok=True)
    parameters = [text for name, value in work.parameters.items() for text in ("-r", name, value)]
    for command in (
        [SCRIPTS / "papermill", NOTEBOOK, work.executed, *parameters, "--cwd", NOTEBOOK.parent, "--no-progress-bar"],
        [SCRIPTS / "jupyter", "nbconvert", "--to", "html", work.executed, "--output", work.target],
    ):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)


def by_commands(folder: Path, *, count: int) -> float:
    started = time.perf_counter()
    for work in works(folder, count=count):
        commands(work)
    return time.perf_counter() - started


def by_engine(folder: Path, *, count: int, jobs: int, kind: EngineKind) -> float:
    started = time.perf_counter()
    failed = engine.render(works(folder, count=count), jobs=jobs, kind=kind, tick=lambda name: None)
    if failed:
        sys.exit("\n".join(failed.values()))
    return time.perf_counter() - started


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--pages", type=int, default=30, help="pages by the engine")
    options.add_argument("--loop", type=int, default=6, help="pages by the commands, spread over both audiences")
    options.add_argument("--portable", type=int, default=30, help="pages by the portable engine")
    options.add_argument("--jobs", type=int, default=2)
    given = options.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        forked = by_engine(folder / "fork", count=given.pages, jobs=given.jobs, kind="fork")
        loop = by_commands(folder / "loop", count=given.loop)
        portable = by_engine(folder / "portable", count=given.portable, jobs=given.jobs, kind="portable")
        again = {path.relative_to(folder / "portable") for path in (folder / "portable").rglob("*.html")}
        same = sum((folder / "fork" / path).read_bytes() == (folder / "portable" / path).read_bytes() for path in again)
        shutil.rmtree(folder / "loop")
    each = loop / given.loop
    rows = [
        ("loop of `papermill` and `jupyter nbconvert --to html`", given.loop, loop),
        (f"`engine.render`, forked kernels, {given.jobs} at once", given.pages, forked),
        (f"`engine.render`, fresh kernels, {given.jobs} at once", given.portable, portable),
    ]
    print("# Time of outcome pages\n")
    print(f"`python benchmarks/report.py {' '.join(sys.argv[1:])}`".replace(" `", "`") + "\n")
    print(
        f"The same notebook on the same evidence files, in one run: Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, {', '.join(f'{name} {metadata.version(name)}' for name in VERSIONS)}. "
        f"Load average at the start {load:.1f} (0 is a quiet machine). The commands were timed on {given.loop} pages; "
        "their time does not depend on how many there are, so that the ratio is of seconds a page. The engine's "
        "seconds hold all of it: imports, the warm process, executed notebooks and pages written.\n"
    )
    print("| way | pages | seconds | seconds a page | times faster than the commands |\n|---|---|---|---|---|")
    for way, count, seconds in rows:
        print(f"| {way} | {count} | {seconds:.1f} | {seconds / count:.2f} | {each / (seconds / count):.1f} |")
    print(f"\n30 pages by the commands would take {30 * each:.0f} seconds at this rate.")
    print(f"{same} of {len(again)} pages of the two engines are equal, byte for byte.")


if __name__ == "__main__":
    main()
