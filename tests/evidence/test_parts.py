import os

import pytest

from wwc_research.evidence import parts
from wwc_research.evidence.parts import KEPT, Parts, code_hash, read_part, write_part


def touched(path, *, at):
    os.utime(path, (at, at))


def test_a_part_is_read_back_as_it_was_written(tmp_path):
    values = {"estimates": [0.1, None, 1e-300], "reason": "Größe", "n": 3}
    write_part(tmp_path / "kind" / "part.json", values)
    assert read_part(tmp_path / "kind" / "part.json") == values


@pytest.mark.parametrize("content", [b"", b'{"estimates": [0.1', b"\xff\xfe\x00", b"[1, 2]", b"null", b"\x00" * 50])
def test_a_damaged_part_counts_as_never_finished(tmp_path, content):
    path = tmp_path / "part.json"
    assert read_part(path) is None
    path.write_bytes(content)
    assert read_part(path) is None


def test_undefined_numbers_never_reach_a_part(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_part(tmp_path / "part.json", {"estimate": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_part_has_another_place_as_soon_as_anything_it_rests_on_is_another(tmp_path):
    kept = Parts.of(tmp_path, data_hash="figures")
    made_from = {"question": "a/b", "seed": 1, "analysis": {"window": (2016, 2022)}}
    path = kept.path("calibration", made_from=made_from)
    assert path == kept.path("calibration", made_from=dict(reversed(made_from.items())))
    others = [
        kept.path("specifications", made_from=made_from),
        kept.path("calibration", made_from={**made_from, "seed": 2}),
        kept.path("calibration", made_from={**made_from, "analysis": {"window": (2016, 2021)}}),
        Parts.of(tmp_path, data_hash="other figures").path("calibration", made_from=made_from),
    ]
    assert len({path, *others}) == 5


def test_parts_of_three_states_are_kept_and_older_ones_removed(tmp_path):
    made = []
    for number in range(KEPT):
        home = tmp_path / Parts.of(tmp_path, data_hash=str(number)).state
        write_part(home / "kind" / "part.json", {})
        touched(home, at=1000 + number)
        made.append(home)
    # going back to the oldest makes it the newest
    Parts.of(tmp_path, data_hash="0")
    Parts.of(tmp_path, data_hash="another")
    assert [home.exists() for home in made] == [True, False, True]
    assert (made[0] / "kind" / "part.json").exists()
    assert len(list(tmp_path.iterdir())) == KEPT


def test_the_code_that_makes_numbers_is_part_of_the_state_and_pages_and_plan_are_not(tmp_path, monkeypatch):
    for name in ("inference.py", "evidence/run.py", "catalog/outcomes.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("first", encoding="utf-8")
    monkeypatch.setattr(parts.resources, "files", lambda name: tmp_path)
    before = code_hash()
    for name in ("report/page.py", "cli/app.py", "catalog/plan.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("new", encoding="utf-8")
    assert code_hash() == before
    for name in ("inference.py", "catalog/outcomes.toml"):
        (tmp_path / name).write_text("second", encoding="utf-8")
        assert code_hash() != before
        before = code_hash()


def test_another_version_of_a_package_that_makes_numbers_is_another_state(monkeypatch):
    before = code_hash()
    found = parts.metadata.version
    monkeypatch.setattr(parts.metadata, "version", lambda name: "99.0" if name == "scipy" else found(name))
    assert code_hash() != before
