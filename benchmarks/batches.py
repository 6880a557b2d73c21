"""How long large batches of pages take: python benchmarks/batches.py > benchmarks/batches.md

Pages of each kind are made from the evidence of the last run (`wwc-research report` comes first) with the engine as
the command uses it, on this machine; what 900 cities, 6 outcomes and 3 languages would take is extrapolated from that.
"""

import os
import platform
import tempfile
import time
from pathlib import Path

from wwc_research.evidence.evidence import Evidence
from wwc_research.evidence.panels import panel_path
from wwc_research.panel.panel import Panel
from wwc_research.report import city_page, engine
from wwc_research.report.batch_pages import city_works, outcome_works
from wwc_research.report.batch_plan import Batch, plan_batch
from wwc_research.report.page_work import PageWork

ROOT = Path(__file__).resolve().parents[1]
LANGUAGES = ("en", "es", "pt")
N_CITIES = 900
SAMPLE = 12  # cities, in each of the languages
JOBS = os.cpu_count() or 1


def sample_batch(folder: Path) -> Batch:
    everywhere = city_page.plan_cities(["all"], root=ROOT)
    step = len(everywhere) // SAMPLE
    cities = everywhere[: step * SAMPLE : step]
    return plan_batch(root=ROOT, languages=LANGUAGES, cities=cities, out=folder, jobs=JOBS)


def made(works: list[PageWork]) -> tuple[float, float]:
    """Seconds for all, and bytes of a page."""
    started = time.perf_counter()
    failed = engine.render(works, jobs=JOBS, tick=lambda name: None)
    seconds = time.perf_counter() - started
    if failed:
        raise SystemExit(f"{len(failed)} pages failed, the first: {next(iter(failed.items()))}")
    return seconds, sum(work.target.stat().st_size for work in works) / len(works)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wanted = sample_batch(folder / "pages")
        outcomes = outcome_works(wanted)
        found = {question: Evidence.read(wanted.evidence_path(question)) for question in wanted.questions}
        panel = Panel.read(panel_path(ROOT))
        started = time.perf_counter()
        facts = city_page.write_facts(wanted.cities, panel=panel, found=found, folder=folder / "facts", root=ROOT)
        for_facts = (time.perf_counter() - started) / len(facts)
        kinds = {
            "outcome, staff": [work for work in outcomes if work.audience == "staff"],
            "outcome, research": [work for work in outcomes if work.audience == "research"],
            "city": city_works(wanted, facts),
        }
        rows = {kind: (len(works), *made(works)) for kind, works in kinds.items()}
    print("# Large batches\n")
    print(
        f"`python benchmarks/batches.py`, Python {platform.python_version()}, {JOBS} workers, warm files. Measured:\n"
    )
    print("| pages | made | seconds | pages a second | kB a page |\n|---|---|---|---|---|")
    for kind, (count, seconds, size) in rows.items():
        print(f"| {kind} | {count} | {seconds:.1f} | {count / seconds:.2f} | {size / 1000:.0f} |")
    print(f"\nFacts of a city, once for all languages: {for_facts:.2f} s.\n")
    n_pages = N_CITIES * len(LANGUAGES)
    count, seconds, size = rows["city"]
    total = N_CITIES * for_facts + n_pages * seconds / count
    print(
        f"Extrapolated, not measured: {N_CITIES} cities in {len(LANGUAGES)} languages, each page with all "
        f"{len(wanted.outcomes)} outcomes, are {n_pages:,} pages, {total / 3600:.1f} hours on this machine, "
        f"{n_pages * size / 1e9:.1f} GB. With k times as many workers of a cluster the pages take a k-th of it; the "
        "facts are gathered by one process."
    )


if __name__ == "__main__":
    main()
