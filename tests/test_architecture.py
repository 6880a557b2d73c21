import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "wwc_research"


def architecture() -> str:
    return (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def settings() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_tree_of_the_architecture_page_names_every_room_of_the_package():
    tree = architecture().split("```")[1]
    inside = tree[tree.index("wwc_research/\n") :]
    named = set(re.findall(r"^    (\w+(?:\.py|/))", inside, flags=re.M))
    rooms = {f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert named == rooms | modules


def test_every_top_level_name_on_the_architecture_page_exists():
    tree = architecture().split("```")[1]
    top = re.findall(r"^([A-Za-z_.]+(?:/\w+)?/?)(?=\s)", tree, flags=re.M)
    assert len(top) > 10
    missing = [name for name in top if not (ROOT / name).exists()]
    assert missing == []


def test_the_layer_line_of_the_page_is_the_one_that_is_enforced():
    line = re.search(r"`(cli → .*)`", architecture())
    layers = settings()["tool"]["importlinter"]["contracts"][0]["layers"]
    assert line is not None
    assert line.group(1).split(" → ") == layers


def test_each_source_and_each_estimator_stands_under_its_independence_contract():
    contracts = {entry["name"]: entry for entry in settings()["tool"]["importlinter"]["contracts"]}
    from wwc_research.estimators import ESTIMATORS
    from wwc_research.sources.raw import load_sources

    estimators = {name.rsplit(".", 1)[1] for name in contracts["No estimator imports another"]["modules"]}
    assert set(ESTIMATORS) | {"matched_difference", "weighted_difference"} == estimators
    sources = {name.rsplit(".", 1)[1] for name in contracts["No source imports another"]["modules"]}
    assert set(load_sources()) == sources


def test_the_package_imports_no_oracle():
    """Peers of ours are wanted for benchmarks alone, and stand in no lock."""
    oracles = {requirement_name(item) for item in settings()["project"]["optional-dependencies"]["oracle"]}
    assert len(oracles) == 6
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert [name for name in oracles if f"\n{name}==" in lock] == []
    text = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    assert [name for name in oracles if f"import {name.replace('-', '_')}" in text] == []


def requirement_name(text: str) -> str:
    return re.split(r"[<>=\[ ]", text, maxsplit=1)[0].lower()


def test_environment_yml_asks_for_what_pyproject_asks_for():
    project = settings()["project"]
    extras = [item for name in ("lab", "dev") for item in project["optional-dependencies"][name]]
    wanted = [*project["dependencies"], *extras]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda_names = {"matplotlib-base": "matplotlib", "nbconvert-core": "nbconvert", "playwright-python": "playwright"}
    offered = {}
    for line in environment["dependencies"]:
        if isinstance(line, str):
            name = requirement_name(line)
            offered[conda_names.get(name, name)] = line[len(name) :]
    for requirement in wanted:
        name = requirement_name(requirement)
        assert offered.get(name) == requirement[len(name) :], requirement
    assert offered["python"] == project["requires-python"]
    assert environment["dependencies"][-1] == {"pip": ["--editable ."]}


def test_the_lock_pins_every_requirement_with_hashes_and_names_no_registry():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)", lock, flags=re.M))
    project = settings()["project"]
    extras = [item for name in ("lab", "dev") for item in project["optional-dependencies"][name]]
    missing = {requirement_name(item) for item in [*project["dependencies"], *extras]} - set(pinned)
    assert missing == set()
    assert lock.count("--hash=sha256:") > len(pinned)
    assert not re.search(r"https?://|index-url", lock)


def test_no_module_is_a_room_without_a_name():
    forbidden = {"utils", "helpers", "common", "misc", "manager"}
    assert [path.name for path in PACKAGE.rglob("*.py") if path.stem in forbidden] == []


def test_what_the_readme_says_of_verdicts_stands_in_their_table():
    table = (ROOT / "benchmarks" / "verdicts.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines() if line[:1] == "|"]
    families = {row[0]: row[2] for row in rows if len(row) == 8 and row[1].isdigit()}
    false, error = re.fullmatch(r"([\d.]+) ± ([\d.]+)", families["no effect"]).groups()
    found = families["effect of 2, constant, in one question"].split(" ±")[0].removesuffix(".0")
    caught = [row[4].split(" ±")[0] for row in rows if row[0] == "A" and row[1].startswith(("confounded", "diverging"))]
    caught = [share for share in caught if float(share) > 50]
    low, high = (f"{float(share):.0f}" for share in (min(caught, key=float), max(caught, key=float)))
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"without any effect {false} % of families" in readme
    assert f"(± {error}, 120 families)" in readme
    assert f"was found in {found} %" in readme
    assert f"in {low} to {high} %" in readme
