from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from wwc_research.sources import raw
from wwc_research.sources.places import Places, Scope

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def raw_dir() -> Path:
    return ROOT / "data" / "raw"


@pytest.fixture(scope="session")
def publishers_dir() -> Path:
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the publishers' files are not beside the project")
    return folder


@pytest.fixture(scope="session")
def compilation(publishers_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, set[str]]]:
    """The publishers' files compiled once more, in a folder of their own; and which of them each source opened."""
    folder = tmp_path_factory.mktemp("compiled") / "raw"
    opened: dict[str, set[str]] = {}
    reading: list[set[str]] = [set()]

    def watch(event: str, details: tuple) -> None:
        if event == "open" and reading and str(details[0]).startswith(f"{publishers_dir}/"):
            reading[0].add(Path(details[0]).relative_to(publishers_dir).as_posix())

    def done(source: str) -> None:
        opened[source] = reading[0]
        reading[0] = set()

    sys.addaudithook(watch)
    raw.compile_all(publishers_dir, folder, progress=done)
    reading.clear()
    return folder, opened


@pytest.fixture(scope="session")
def compiled(compilation: tuple[Path, dict[str, set[str]]]) -> Path:
    return compilation[0]


@pytest.fixture(scope="session")
def opened(compilation: tuple[Path, dict[str, set[str]]]) -> dict[str, set[str]]:
    return compilation[1]


@pytest.fixture(scope="session")
def observations(raw_dir: Path) -> pd.DataFrame:
    return raw.read_observations(raw_dir)


@pytest.fixture(scope="session")
def uncorrected(raw_dir: Path) -> pd.DataFrame:
    return raw.read_observations(raw_dir, corrected=False)


@pytest.fixture(scope="session")
def places(raw_dir: Path) -> Places:
    return Places.load(raw_dir)


@pytest.fixture(scope="session")
def full_scope(places: Places) -> Scope:
    """All counties of the country, with the settings of the air-quality source."""
    settings = raw.load_sources()["epa_aqi"]["settings"]
    return Scope(places=places, counties=frozenset(places.counties["county_id"]), settings=settings)
