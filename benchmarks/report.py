"""Where the time of `make report` goes, from a warm environment: python benchmarks/report.py > benchmarks/report.md

Every outcome is rendered into a temporary folder with two workers, as the command does; then the steps of one page
are timed one after another in this process, and given as shares of that page.
"""

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from wwc_research import catalog
from wwc_research.evidence.assemble import assemble
from wwc_research.evidence.judging import judge
from wwc_research.panel.build import build_panel
from wwc_research.panel.panel import Panel
from wwc_research.report import batch, page

ROOT = Path(__file__).resolve().parents[1]


def timed(work: Callable[[], object]) -> tuple[float, object]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def project(folder: Path) -> Path:
    shutil.copytree(ROOT / "data" / "raw", folder / "data" / "raw")
    (folder / "notebooks").mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / batch.NOTEBOOK, folder / "notebooks")
    return folder


def whole_batches(root: Path) -> list[tuple[str, float]]:
    wanted = batch.plan_batch(root=root, jobs=2)

    def run(*, force: bool = False) -> object:
        return batch.run_batch(wanted, say=lambda line: None, tick=lambda name: None, force=force)

    first, _ = timed(run)
    again, _ = timed(run)
    forced, _ = timed(lambda: run(force=True))
    count = len(wanted.questions)
    return [
        (f"{count} pages, nothing there yet", first),
        (f"{count} pages again, nothing changed", again),
        (f"{count} pages again, forced, evidence kept", forced),
    ]


def one_page(root: Path) -> list[tuple[str, float]]:
    plan = catalog.plan()
    panel_file = root / "data" / "processed" / "panel.parquet"
    build, _ = timed(lambda: build_panel(root / "data" / "raw"))
    read, panel = timed(lambda: Panel.read(panel_file))
    estimate, found = timed(lambda: assemble(outcome="air_quality", treatment="certification", panel=panel, plan=plan))
    evidence = root / "notebooks" / "evidence.json"
    judge([found.evidence], draws=[found.draws], plan=plan)[0].write(evidence)
    executed = root / "executed.ipynb"
    notebook = root / "notebooks" / batch.NOTEBOOK
    execute, _ = timed(lambda: page.execute(notebook, executed=executed, parameters={"evidence_path": "evidence.json"}))
    render, _ = timed(lambda: page.to_html(executed, title="Air quality"))
    return [
        ("build the panel (once a batch)", build),
        ("read the panel", read),
        ("estimate, match, check, vary: air quality, without calibration and curve", estimate),
        ("papermill: start a kernel, import, draw the figures", execute),
        ("nbconvert: one HTML file", render),
    ]


def main() -> None:
    print("# Time of `make report`\n")
    print(f"`python benchmarks/report.py`, Python {platform.python_version()}, {os.cpu_count()} cores, warm files.\n")
    with tempfile.TemporaryDirectory() as folder:
        root = project(Path(folder) / "project")
        batches = whole_batches(root)
        steps = one_page(root)
    print("| whole batch, two workers | seconds | relative to the first |\n|---|---|---|")
    for name, seconds in batches:
        print(f"| {name} | {seconds:.1f} | {seconds / batches[0][1]:.2f} |")
    total = sum(seconds for _, seconds in steps[1:])
    print("\n| steps of one page, one process | seconds | share of the page |\n|---|---|---|")
    for name, seconds in steps:
        share = "" if name.startswith("build") else f"{seconds / total:.0%}"
        print(f"| {name} | {seconds:.2f} | {share} |")


if __name__ == "__main__":
    main()
