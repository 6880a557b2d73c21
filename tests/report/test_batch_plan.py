import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from wwc_research import catalog
from wwc_research.errors import DataError, InputError
from wwc_research.evidence.run import Answers
from wwc_research.panel.panel import Panel
from wwc_research.report import batch, city_page
from wwc_research.report.batch_plan import plan_batch


def test_all_faults_of_all_options_are_told_together_with_what_is_allowed(project):
    with pytest.raises(InputError) as caught:
        plan_batch(
            root=project, outcomes=("brodband", "luck"), treatments=("fortune",), run="../../evil", jobs=0,
            audiences=("staf",), languages=("fr",), engine="warp", scheduler="somewhere", cities=("Gotham, ZZ",),
        )  # fmt: skip
    for part in (
        "no outcome 'brodband'", "Did you mean broadband?", "'luck'", "no treatment 'fortune'", "../../evil",
        "--jobs 0", "'staf'", "staff, research and both", "'fr'", "en, es and pt", "'warp'",
        "auto, fork and portable", "tcp://host:port", "Gotham",
    ):  # fmt: skip
        assert part in str(caught.value)
    assert not (project / "reports").exists()


def test_a_run_is_a_plain_name(project):
    for run in ("", ".", "a/b", "..", "/tmp/x"):
        with pytest.raises(InputError, match="plain name"):
            plan_batch(root=project, run=run)


def test_a_treatment_without_dates_is_refused(project):
    allowed = "has no dates; use certification or gold_certification or open_data_policy"
    with pytest.raises(InputError, match=allowed):
        plan_batch(root=project, treatments=("partner_network",))


def test_a_plan_that_cannot_be_used_is_refused_before_any_work(project, tmp_path):
    path = tmp_path / "mine.toml"
    with pytest.raises(InputError, match=r"mine\.toml: cannot be read"):
        plan_batch(root=project, plan_path=path)
    with pytest.raises(InputError, match=r"(?s)'luck'.*mine\.toml: cannot be read"):
        plan_batch(root=project, plan_path=path, outcomes=("luck",))
    path.write_text("title = ", encoding="utf-8")
    with pytest.raises(DataError, match=r"mine\.toml is no TOML"):
        plan_batch(root=project, plan_path=path)
    path.write_text(catalog.plan().text.replace("seed = ", "sead = ", 1), encoding="utf-8")
    with pytest.raises(DataError, match="lacks the field 'seed'"):
        plan_batch(root=project, plan_path=path)


def test_one_run_asks_every_treatment_of_the_plan_and_corrects_over_all_of_them(project):
    whole = plan_batch(root=project)
    assert whole.run == "findings"
    assert {question.treatment for question in whole.questions} == set(catalog.plan().treatments)
    assert len(whole.questions) == len(catalog.plan().treatments) * len(catalog.plan().analyses)
    some = plan_batch(root=project, treatments=("gold_certification",), outcomes=("broadband", "broadband"))
    assert [question.name for question in some.questions] == ["gold_certification/broadband"]
    assert some.run == "gold_certification-broadband"
    asked = {*catalog.plan().treatments, "gold_certification"}
    residents = {"broadband", "air_quality", "youth_neet"}
    assert {question.name for question in some.assembled} == {f"{one}/{two}" for one in asked for two in residents}


def test_both_is_every_audience_and_names_are_counted_once(project):
    asked = plan_batch(root=project, audiences=("both", "staff"), languages=("es", "en", "es"))
    assert asked.audiences == ("staff", "research")
    assert asked.languages == ("es", "en")


def test_pages_of_cities_are_made_by_the_plan_in_use(project, quick_plan, monkeypatch):
    shutil.copy(ROOT / "notebooks" / "city_report.ipynb", project / "notebooks")
    used = []
    monkeypatch.setattr(Panel, "read", lambda path: None)
    monkeypatch.setattr(city_page, "write_facts", lambda cities, *, plan, **_: used.append(plan) or {})
    asked = plan_batch(root=project, plan_path=quick_plan, cities=("Detroit, MI",))
    batch._city_pages(asked, Answers(found={}, failed={}))
    assert [list(plan.analyses) for plan in used] == [["broadband", "youth_neet", "employment"]]
    assert used[0].analyses.keys() != catalog.plan().analyses.keys()


def test_a_project_without_its_template_is_refused(project):
    (project / "notebooks" / "outcome_report.ipynb").unlink()
    with pytest.raises(InputError, match="is missing"):
        plan_batch(root=project)


HEAVY = """
import sys
from typer.testing import CliRunner
from wwc_research.cli import app
done = CliRunner().invoke(app, ["report", "--only", "brodband", "--lang", "fr", "--root", sys.argv[1]])
assert done.exit_code == 2, done.output
print([name for name in ("numpy", "pandas", "matplotlib", "nbformat", "jinja2", "babel") if name in sys.modules])
"""


def test_a_wrong_option_is_refused_without_the_scientific_libraries(project):
    done = subprocess.run([sys.executable, "-c", HEAVY, str(project)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
