import shutil
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

from wwc_research import catalog
from wwc_research.panel.build import build_panel
from wwc_research.panel.panel import Panel
from wwc_research.report import batch, batch_plan

# a busy machine is no fault of the code: laws are tested, not times
hypothesis.settings.register_profile("laws", deadline=None)
hypothesis.settings.load_profile("laws")

ROOT = Path(__file__).parents[1]
QUICK = {
    "draws = 9999": "draws = 199",
    "draws = 1000": "draws = 60",
    "slow_draws = 60": "slow_draws = 2",
    "roster_draws = 499": "roster_draws = 49",
    "placebo_draws = 499": "placebo_draws = 49",
    "draws = 499": "draws = 49",
    'treatments = ["certification", "open_data_policy"]': 'treatments = ["certification"]',
    'windows = ["plan", "without_2020_2021", "from_2014"]': 'windows = ["plan"]',
    'cohorts = ["plan", "all_editions", "source_only", "anticipation_1"]': 'cohorts = ["plan"]',
}


def quick_plan_text(*outcomes: str) -> str:
    """The shipped plan with few draws, one treatment, and analyses of `outcomes` alone."""
    text = catalog.plan().text
    for slow, quick in QUICK.items():
        assert slow in text
        text = text.replace(slow, quick)
    head, *analyses = text.split("[analyses.")
    kept = [part for part in analyses if part.split("]")[0] in outcomes]
    assert len(kept) == len(outcomes)
    return "[analyses.".join([head, *kept])


@pytest.fixture(scope="session")
def panel() -> Panel:
    """The panel of the shipped figures, built once for all tests of a worker."""
    return build_panel(ROOT / "data" / "raw")


@pytest.fixture
def project(tmp_path) -> Path:
    """A fresh project folder: the shipped tables, the template notebook, nothing made yet."""
    return fresh_project(tmp_path / "project")


def fresh_project(root: Path) -> Path:
    shutil.copytree(ROOT / "data" / "raw", root / "data" / "raw")
    (root / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "outcome_report.ipynb", root / "notebooks")
    return root


@pytest.fixture(scope="session")
def quick_plan(tmp_path_factory) -> Path:
    """A plan of two outcomes of one family and one of another, quick to work through."""
    path = tmp_path_factory.mktemp("plan") / "quick.toml"
    path.write_text(quick_plan_text("broadband", "youth_neet", "employment"), encoding="utf-8")
    assert tomllib.loads(path.read_text(encoding="utf-8"))["treatments"] == ["certification"]
    return path


@contextmanager
def _one_worker_at_a_time(lock: Path) -> Iterator[None]:
    deadline = time.monotonic() + 400
    while True:
        try:
            lock.mkdir()
            break
        except FileExistsError:
            assert time.monotonic() < deadline, f"another worker has kept {lock} for too long"
            time.sleep(0.2)
    try:
        yield
    finally:
        lock.rmdir()


@pytest.fixture(scope="session")
def answered(request, tmp_path_factory, quick_plan) -> tuple[Path, dict]:
    """A project in which every question of the quick plan has been answered, and the answers by outcome.

    The workers of one run share the project: the second finds the parts that the first has finished.
    """
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if hasattr(request.config, "workerinput") else own) / "answered"
    shared.mkdir(exist_ok=True)
    with _one_worker_at_a_time(shared / "lock"):
        root = shared / "project"
        if not root.exists():
            fresh_project(root)
        answers = batch.answer_batch(batch_plan.plan_batch(root=root, plan_path=quick_plan, jobs=2))
    assert not answers.failed
    return root, {question.outcome: evidence for question, evidence in answers.found.items()}


@pytest.fixture
def answered_project(tmp_path, answered) -> Path:
    """A copy of that project: panel and parts are there, so that pages follow quickly."""
    root = tmp_path / "project"
    shutil.copytree(answered[0], root)
    return root
