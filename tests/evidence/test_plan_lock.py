import dataclasses
import hashlib
import json
import shutil
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwc_research import catalog
from wwc_research.catalog import read_plan
from wwc_research.errors import DataError, InputError
from wwc_research.evidence import plan_lock
from wwc_research.evidence.plan_lock import LOCK_FILE, EarlierLock, LockedTable, PlanLock, Run, check, lock, read, write
from wwc_research.report.batch_files import data_hash
from wwc_research.sources.tables import Table, manifest_text

ROOT = Path(__file__).parents[2]
PLAN = catalog.plan()
DAY, LATER = date(2026, 11, 22), date(2026, 12, 1)
RUN = Run(treatment="certification", outcomes=tuple(PLAN.analyses))


def table(name, text, *, vintage):
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    filled = dict.fromkeys(
        ("title", "publisher", "series", "licence", "retrieved", "geography", "url", "obtained"), "invented"
    )
    return Table(
        name=name, path=f"{name}.csv", kind="table", sha256=sha256, rows=1, key=("a",), years=(2000, 2001),
        vintage=vintage, **filled,
    )  # fmt: skip


def fill(raw, tables):
    """Tables as {name: (text, vintage)} with their manifest."""
    shutil.rmtree(raw, ignore_errors=True)
    entries = []
    for name, (text, vintage) in tables.items():
        path = raw / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        entries.append(table(name, text, vintage=vintage))
    (raw / "manifest.toml").write_text(manifest_text(entries))


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "data" / "raw"
    fill(folder, {"acs/one_year": ("a\n1\n", "acs1"), "epa/aqi": ("a\n2\n", "2026")})
    return folder


def changed(*replacements, extra=""):
    """The plan with some of its text replaced; every old text must be there."""
    text = PLAN.text
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    return read_plan(text + extra)


BROADBAND = '[analyses.broadband]\nfamily = "residents"\nminimum_effect_of_interest = 0.02\nwindow = [2016, 2022]'


def deviations(plan, locked, raw, **run):
    return check(plan, lock=locked, raw=raw, run=dataclasses.replace(RUN, **run)).deviations


def test_a_run_of_the_locked_plan_follows_it(raw):
    status = check(PLAN, lock=lock(PLAN, raw=raw, today=DAY), raw=raw, run=RUN)
    assert (status.state, status.date, status.deviations, status.notes) == ("follows", "2026-11-22", (), ())
    assert status.sentence.startswith("This run follows the plan that was locked on 2026-11-22.")
    assert json.loads(json.dumps(status.as_dict()))["state"] == "follows"


def test_without_a_lock_a_run_says_so():
    status = check(PLAN, lock=None, raw=Path("nowhere"), run=RUN)
    assert status.state == "not_locked"
    assert "never locked" in status.sentence
    assert status.as_dict()["date"] == ""


@pytest.mark.parametrize("state", ["follows", "deviates", "not_locked"])
def test_what_was_known_before_is_repeated_in_every_sentence(raw, state):
    locked = None if state == "not_locked" else lock(PLAN, raw=raw, today=DAY)
    status = check(PLAN, lock=locked, raw=raw, run=RUN if state != "deviates" else Run(treatment="x", outcomes=()))
    assert status.state == state
    assert PLAN.prior_knowledge in status.sentence


def test_every_changed_field_is_named_with_both_values(raw):
    locked = lock(PLAN, raw=raw, today=DAY)
    plan = changed(
        (BROADBAND, BROADBAND.replace("2016, 2022", "2014, 2022")),
        ("seed = 20261122", "seed = 7"),
        ("size = 0.05 ", "size = 0.10 "),
        ("synthetic_controls = true", "synthetic_controls = false"),
    )
    status = check(plan, lock=locked, raw=raw, run=RUN)
    assert set(status.deviations) == {
        "analyses.broadband.window: locked [2016, 2022], now [2014, 2022]",
        "seed: locked 20261122, now 7",
        "verdict.size: locked 0.05, now 0.1",
        "analyses.youth_neet.synthetic_controls: locked true, now false",
    }
    assert status.sentence.startswith("This run deviates in 4 respects from the plan that was locked on 2026-11-22.")


def test_a_field_or_an_outcome_added_or_taken_out_is_a_deviation(raw):
    locked = lock(PLAN, raw=raw, today=DAY)
    start = PLAN.text.index("[analyses.median_income]")
    without = read_plan(PLAN.text[:start])
    assert len(deviations(without, locked, raw)) == 1
    assert deviations(without, locked, raw)[0].startswith("analyses.median_income: locked {family = ")
    back = deviations(PLAN, lock(without, raw=raw, today=DAY), raw, outcomes=("broadband", "median_income"))
    assert back[0].startswith("analyses.median_income: not in the locked plan, now {")
    assert back[1].startswith("outcome median_income: not in the locked plan, which has broadband")
    assert deviations(changed(("also_by_place = false", "")), locked, raw)[0].startswith(
        "analyses.youth_neet.also_by_place: locked false, now removed"
    )


def test_comments_order_title_and_date_are_wording(raw):
    locked = lock(PLAN, raw=raw, today=DAY)
    matching = PLAN.text[PLAN.text.index("[matching]") : PLAN.text.index("[verdict]")]
    plan = changed(
        (matching, ""),
        ('groups = ["smaller", "larger"]', 'groups = ["larger", "smaller"] # the order is nothing'),
        ('title = "First honest analysis"', 'title = "Another name"'),
        extra=f"\n{matching}",
    )
    assert plan.sha256 != PLAN.sha256
    status = check(plan, lock=locked, raw=raw, run=RUN)
    assert status.state == "follows"
    assert len(status.notes) == 2
    assert "differs in wording only" in status.notes[0]
    assert status.notes[1] == 'title: locked "First honest analysis", now "Another name" (wording only)'


def test_a_default_written_out_is_wording_and_a_default_changed_is_not(raw):
    locked = lock(PLAN, raw=raw, today=DAY)
    assert not deviations(changed((BROADBAND, f"{BROADBAND}\nanticipation = 0")), locked, raw)
    assert deviations(changed((BROADBAND, f"{BROADBAND}\nanticipation = 1")), locked, raw) == (
        "analyses.broadband.anticipation: locked 0, now 1",
    )
    assert deviations(changed(("anticipation = 0", "anticipation = 1")), locked, raw) == (
        "defaults.anticipation: locked 0, now 1",
    )


def test_a_change_of_what_was_known_is_a_deviation(raw):
    locked = lock(PLAN, raw=raw, today=DAY)
    found = deviations(changed((PLAN.prior_knowledge, "Nothing at all.")), locked, raw)
    assert len(found) == 1
    assert found[0].startswith("prior_knowledge: locked ")


def test_a_table_changed_added_or_removed_is_named_with_its_vintage(raw):
    locked = lock(PLAN, raw=raw, today=DAY)
    fill(raw, {"acs/one_year": ("a\n9\n", "acs1"), "bls/laus": ("a\n3\n", "2025")})
    assert deviations(PLAN, locked, raw) == (
        "data table acs/one_year (vintage acs1): changed since the lock",
        "data table bls/laus (vintage 2025): added since the lock",
        "data table epa/aqi (vintage 2026): removed since the lock",
    )
    fill(raw, {"acs/one_year": ("a\n1\n", "acs1"), "epa/aqi": ("a\n7\n", "2027")})
    assert deviations(PLAN, locked, raw) == ("data table epa/aqi (vintage 2027, then 2026): changed since the lock",)


def test_a_table_altered_on_disk_is_noticed_though_the_manifest_is_not(raw):
    locked = lock(PLAN, raw=raw, today=DAY)
    (raw / "epa" / "aqi.csv").write_text("a\n3\n")
    assert deviations(PLAN, locked, raw) == ("data table epa/aqi (vintage 2026): changed since the lock",)
    with pytest.raises(DataError, match=r"aqi\.csv is not what the manifest says"):
        lock(PLAN, raw=raw, today=DAY)
    (raw / "epa" / "aqi.csv").unlink()
    assert deviations(PLAN, locked, raw) == ("data table epa/aqi (vintage 2026): removed since the lock",)
    with pytest.raises(DataError, match=r"aqi\.csv is absent"):
        lock(PLAN, raw=raw, today=DAY)


def test_a_treatment_an_outcome_or_a_setting_that_was_not_planned_is_a_deviation(raw):
    locked = lock(PLAN, raw=raw, today=DAY)
    found = deviations(
        PLAN,
        locked,
        raw,
        treatment="partner_network",
        outcomes=("broadband", "crime"),
        edits={
            "analyses.broadband.window": (2014, 2022),
            "analyses.broadband.comparison": "not_yet",
            "analyses.broadband.anticipation": 2,
            "analyses.broadband.minimum_level": "gold",
        },
    )
    assert found == (
        "treatment partner_network: not in the locked plan, which has certification and open_data_policy",
        f"outcome crime: not in the locked plan, which has {', '.join(list(PLAN.analyses)[:-1])} and median_income",
        "analyses.broadband.window: locked [2016, 2022], [2014, 2022] in this run",
        "analyses.broadband.anticipation: locked 0, 2 in this run",
        'analyses.broadband.minimum_level: not in the locked plan, "gold" in this run',
    )
    assert not deviations(PLAN, locked, raw, treatment="open_data_policy")


def test_fewer_outcomes_and_another_version_are_notes(raw):
    locked = dataclasses.replace(lock(PLAN, raw=raw, today=DAY), version="0.0.1")
    status = check(PLAN, lock=locked, raw=raw, run=dataclasses.replace(RUN, outcomes=("broadband",)))
    assert status.state == "follows"
    assert status.notes[0].startswith("Outcomes of the locked plan that this run does not show: Air quality, ")
    assert "locked with version 0.0.1" in status.notes[1]


def test_a_lock_is_read_as_it_was_written(raw, tmp_path):
    locked = lock(PLAN, raw=raw, today=DAY, panel_sha256="ab" * 32)
    path = tmp_path / LOCK_FILE
    assert write(locked, path) == locked
    assert read(path) == locked
    assert PLAN.text in path.read_text()
    assert path.read_text().startswith("# The plan as it was locked")


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"), max_size=20))
def test_any_text_survives_the_file(tmp_path_factory, text, other):
    locked = PlanLock(
        date="2026-11-22",
        reason=other,
        title=other,
        prior_knowledge=text,
        plan_sha256=hashlib.sha256(text.encode()).hexdigest(),
        data_sha256="",
        panel_sha256="",
        version="1",
        plan_text=text,
        tables={other: LockedTable(vintage=other, sha256=other)},
        history=(EarlierLock(date="", plan_sha256="", data_sha256="", version="", reason=text, content_sha256=""),),
    )
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.unlink(missing_ok=True)
    write(locked, path)
    assert read(path) == locked


def test_a_lock_is_replaced_only_with_a_reason_and_remembers_the_earlier_ones(raw, tmp_path):
    path = tmp_path / LOCK_FILE
    first = write(lock(PLAN, raw=raw, today=DAY), path)
    plan = changed(("seed = 20261122", "seed = 7"))
    with pytest.raises(InputError, match="locked here on 2026-11-22; to replace it, give the reason"):
        write(lock(plan, raw=raw, today=LATER), path)
    assert read(path) == first
    second = write(lock(plan, raw=raw, today=LATER, reason="A second source came in."), path)
    third = write(lock(PLAN, raw=raw, today=LATER, reason="It was wrong."), path)
    assert [item.date for item in third.history] == ["2026-11-22", "2026-12-01"]
    assert [item.plan_sha256 for item in third.history] == [PLAN.sha256, plan.sha256]
    assert [item.content_sha256 for item in third.history] == [first.content_sha256, second.content_sha256]
    assert third.history[1].reason == "A second source came in."
    note = check(PLAN, lock=read(path), raw=raw, run=RUN).notes[-1]
    assert note == "This lock replaced 2 earlier ones (2026-11-22 and 2026-12-01). The reason given: It was wrong."
    with pytest.raises(InputError, match="older than the one it replaces"):
        write(lock(plan, raw=raw, today=DAY, reason="Back in time."), path)


def test_locking_what_is_locked_already_moves_no_date(raw, tmp_path):
    path = tmp_path / LOCK_FILE
    first = write(lock(PLAN, raw=raw, today=DAY), path)
    content = path.read_bytes()
    assert write(lock(PLAN, raw=raw, today=LATER, reason="Why not."), path) == first
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace('date = "2026-11-22"', 'date = "2026-11-01"'),
        lambda text: text.replace("minimum_effect_of_interest = 0.02", "minimum_effect_of_interest = 0.01", 1),
        lambda text: text.replace("acs1", "acs5"),
        lambda text: text.replace("content_sha256", "sha256"),
        lambda text: text.replace("format = 1", "format = 9"),
        lambda text: text.replace("format = 1", "format = 1\ntables = 3").replace("[tables]", "[other]"),
        lambda text: text.replace('date = "2026-11-22"', "date = 2026-11-22"),
        lambda text: text[: len(text) // 2],
        lambda text: "",
    ],
)
def test_an_edited_or_broken_lock_is_refused_with_the_way_out(raw, tmp_path, edit):
    path = tmp_path / LOCK_FILE
    write(lock(PLAN, raw=raw, today=DAY), path)
    before = path.read_text()
    path.write_text(edit(before))
    assert path.read_text() != before
    with pytest.raises(DataError, match=r"(?s)plan\.lock\.toml.*version control.*plan lock"):
        read(path)
    with pytest.raises(DataError, match="version control"):
        write(lock(PLAN, raw=raw, today=LATER, reason="Anyway."), path)


def test_a_lock_that_is_not_there_names_the_command(tmp_path):
    with pytest.raises(DataError, match="no plan has been locked; run 'wwc-research plan lock'"):
        read(tmp_path / LOCK_FILE)


def test_the_shipped_data_are_locked_under_the_hash_that_a_report_prints(project):
    locked = lock(PLAN, raw=project / "data" / "raw", today=DAY)
    assert locked.data_sha256 == data_hash(project)
    assert len(locked.tables) > 10
    assert plan_lock.check(PLAN, lock=locked, raw=project / "data" / "raw", run=RUN).state == "follows"
