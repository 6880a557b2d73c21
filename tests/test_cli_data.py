import io

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.sources.publisher_server import PublisherServer, page, redirected, refused
from tests.sources.test_fetch import aqi_path, aqi_text, aqi_zip, hurried
from wwc_research.cli import app
from wwc_research.cli.fetching import Transfers, years_in
from wwc_research.errors import InputError
from wwc_research.sources import expectation_draft, expectations, raw, vintages
from wwc_research.sources import fetch as fetching

KEY = "0123secretkeyof40hex"


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def read_once():
    """Catalog, gazetteer and expectations, which every fetch reads."""
    catalog = raw.load_sources()
    scope = fetching.scope_of(catalog["epa_aqi"], raw_dir=ROOT / "data" / "raw")
    return catalog, scope, expectations.load_expectations()


@pytest.fixture
def root(tmp_path, monkeypatch, read_once):
    """A project with the shipped tables; whatever is fetched lies in a folder of its own."""
    catalog, scope, expected = read_once
    monkeypatch.setattr(raw, "load_sources", lambda: catalog)
    monkeypatch.setattr(expectations, "load_expectations", lambda: expected)
    monkeypatch.setattr(fetching, "scope_of", lambda entry, *, raw_dir: scope)
    monkeypatch.setattr(fetching, "Client", hurried)
    for variable in ("CENSUS_API_KEY", "WWC_RESEARCH_CONTACT"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "raw").symlink_to(ROOT / "data" / "raw")
    return tmp_path


@pytest.fixture
def server():
    with PublisherServer() as running:
        yield running


def fetch(root, server, *words: object):
    return run("data", "fetch", "epa_aqi", "--mirror", server.url, "--root", root, *words)


@pytest.mark.parametrize("command", ["list", "sources", "fetch", "check", "diff", "compile"])
def test_every_data_command_explains_itself_with_an_example(command):
    done = run("data", command, "--help")
    assert done.exit_code == 0
    assert f"wwc-research data {command}" in done.stdout.split("\n", 1)[1]


def test_what_can_be_fetched_is_told_with_years_key_address_and_licence():
    done = run("data", "sources")
    assert done.exit_code == 0
    for source in fetching.FETCHED:
        assert f"\n{source}: " in f"\n{done.stdout}"
    for part in (
        "not 2020: there is no standard 1-year release",
        "with a key in the environment variable CENSUS_API_KEY",
        "geography US and state:WA or any other state",
        "https://aqs.epa.gov",
        "public domain",
        "years 2010-2024 (if none are named: those of the files)",
        "with --files alone: the FBI gives its tables no lasting address",
    ):
        assert part in done.stdout


def test_a_fetch_is_told_listed_checked_and_compared(root, server):
    for year in (2022, 2023):
        server.serve(aqi_path(year), aqi_zip(year))
    done = fetch(root, server, "--years", "2022-2023", "--geography", "county", "--vintage", "first")
    assert done.exit_code == 0, done.output
    assert "epa_aqi@first, 2022-2023: 2 of 2 files sent" in done.stdout
    assert '= ["epa_aqi@first"]' in done.stdout

    done = run("data", "list", "--root", root)
    assert "epa_aqi/vintage_2026: " in done.stdout
    assert "epa_aqi@first: fetched 20" in done.stdout
    assert "2022-2023; county" in done.stdout
    assert "    epa_aqi/counties: 4 rows, 2022-2023" in done.stdout

    done = fetch(root, server, "--years", "2022-2023")
    assert (done.exit_code, done.stdout[:37]) == (0, "epa_aqi: nothing new since first, fet")

    server.serve(aqi_path(2023), aqi_zip(2023, aqi_text(2023).replace(",45,", ",47,")))
    assert fetch(root, server, "--years", "2022,2023", "--vintage", "second").exit_code == 0
    table = root / "revisions.csv"
    done = run("data", "diff", "epa_aqi@first", "epa_aqi@second", "--csv", table, "--root", root)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("epa_aqi@first → epa_aqi@second")
    assert "aqi_median_index,2023,revised" in table.read_text()
    assert "aqi_median_index,2022,unchanged" in table.read_text()
    done = run("data", "diff", "epa_aqi@first", "epa_aqi@third", "--root", root)
    assert done.exit_code == 2
    assert "epa_aqi@second" in done.stderr


def test_the_re_scoring_of_the_air_quality_index_shows_as_such():
    done = run("data", "diff", "epa_aqi@2022", "epa_aqi@2026", "--variables", "aqi_good_share", "--root", ROOT)
    assert done.exit_code == 0, done.output
    assert "re-scored" in done.stdout
    done = run("data", "diff", "epa_aqi@2022", "epa_aqi@2026", "--csv", ROOT / "nowhere" / "x.csv", "--root", ROOT)
    assert done.exit_code == 2
    assert "--csv" in done.stderr


def test_check_names_every_damaged_file_of_fetched_vintages(root, server, monkeypatch):
    monkeypatch.setattr(expectations, "check_shipped", lambda raw_dir: ([], ()))
    server.serve(aqi_path(2023), aqi_zip(2023))
    fetch(root, server, "--years", "2023", "--vintage", "first")
    folder = root / "data" / "fetched" / "epa_aqi" / "first"
    (folder / "counties.csv").write_text("edited")
    (folder / "files" / "annual_aqi_by_county_2023.zip").unlink()
    done = run("data", "check", "--root", root)
    assert done.exit_code == 2
    assert "counties.csv: the file has changed since it was fetched" in done.stderr
    assert "annual_aqi_by_county_2023.zip: the file is missing" in done.stderr
    (folder / "manifest.toml").write_text("= damaged")
    done = run("data", "list", "--root", root)
    assert done.exit_code == 2
    assert "epa_aqi/vintage_2026: " in done.stdout, "the shipped tables are listed all the same"
    assert "manifest.toml: cannot be read as TOML" in done.stderr


@pytest.mark.parametrize(("severity", "status"), [("error", 1), ("moved", 0)])
def test_check_says_what_moved_and_fails_where_a_figure_cannot_be_right(root, monkeypatch, severity, status):
    finding = expectations.Finding(
        severity=severity, table="acs_income/one_year", rule="bounds", variable="income_usd", text="a value of -1"
    )
    monkeypatch.setattr(expectations, "check_shipped", lambda raw_dir: ([], (finding,)))
    done = run("data", "check", "--root", root)
    assert done.exit_code == status
    assert f"{severity}  acs_income/one_year: a value of -1" in done.stdout
    assert f"{status} cannot be right, {1 - status} moved." in done.stdout


def test_a_draft_of_the_expectations_is_printed_alone(root, monkeypatch):
    for name in ("draft", "draft_diff"):
        monkeypatch.setattr(
            expectation_draft, name, lambda raw_dir, *, fetched_dir, name=name: f"{name} of {raw_dir}\n"
        )
    for option, name in (("--draft", "draft"), ("--draft-diff", "draft_diff")):
        done = run("data", "check", option, "--root", root)
        assert (done.exit_code, done.stdout) == (0, f"{name} of {root / 'data' / 'raw'}\n")


def test_a_failed_fetch_ends_with_status_1_and_discard_removes_what_it_left(root, server):
    server.serve(aqi_path(2022), aqi_zip(2022))
    server.serve(aqi_path(2023), page("Down"))
    done = fetch(root, server, "--years", "2022-2023")
    assert done.exit_code == 1
    assert "an HTML page came in place of a zip file" in done.stderr
    assert "1 of 2 files lie whole in" in done.stderr
    assert "Traceback" not in done.output
    assert not (root / "data" / "fetched" / "epa_aqi").exists()
    done = run("data", "fetch", "epa_aqi", "--discard", "--root", root)
    assert done.exit_code == 0
    assert "of unfinished downloads removed" in done.stdout
    assert not (root / "data" / "fetched" / ".staging").exists()
    assert "no unfinished download" in run("data", "fetch", "epa_aqi", "--discard", "--root", root).stdout


def test_files_saved_by_hand_are_handed_in_without_network_and_told_as_such(root, monkeypatch):
    monkeypatch.setattr(fetching, "Client", lambda **_: pytest.fail("a publisher is asked"))
    folder = root / "saved"
    folder.mkdir()
    words = ("data", "fetch", "epa_aqi", "--years", "2022-2023", "--files", folder, "--vintage", "hand", "--root", root)
    (folder / "annual_aqi_by_county_2022.zip").write_bytes(aqi_zip(2022))
    done = run(*words)
    assert done.exit_code == 2
    assert f"annual_aqi_by_county_2023.zip is missing; save https://aqs.epa.gov{aqi_path(2023)} under" in done.stderr
    (folder / "annual_aqi_by_county_2023.zip").write_bytes(aqi_zip(2023))
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert "epa_aqi@hand, 2022-2023: 2 of 2 files handed in" in done.stdout
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("luck",), "'luck' cannot be fetched; there are"),
        (("luck", "--discard"), "'luck' cannot be fetched; there are"),
        (("epa_aqi", "--years", "2019-23,x,2023-2019"), "3 faults"),
        (("epa_aqi", "--years", "1970", "--geography", "city"), "2 faults"),
        (("epa_aqi", "--vintage", "../up"), "a vintage's name has letters"),
        (("epa_aqi", "--mirror", "http://example.org"), "mirror"),
        (("epa_aqi", "--mirror", "https://example.org", "--files", "."), "--mirror and --files"),
        (("epa_aqi", "--files", "nowhere"), "--files nowhere: there is no such folder"),
        (("fbi_offenses",), "data fetch fbi_offenses --files DIR"),
        (("acs_one_year", "--geography", "api_place"), "the environment variable CENSUS_API_KEY holds none"),
    ],
)
def test_a_command_that_cannot_be_used_so_is_refused_before_anything_is_asked_for(root, words, said):
    done = run("data", "fetch", *words, "--root", root)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.output
    assert not list((root / "data").glob("fetched/*/*/*.toml"))


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: page(f"key {request.query['key']}"),
        lambda request: redirected(f"/data/invalid_key.html?key={request.query['key']}"),
        lambda request: refused(500, body=f"key {request.query['key']}"),
        lambda request: f'[["B28003_001E", "{request.query["key"]}"]]',
    ],
    ids=["page", "redirect", "500", "odd answer"],
)
def test_a_key_is_never_printed_nor_written_down(root, server, monkeypatch, answer):
    monkeypatch.setenv("CENSUS_API_KEY", KEY)
    server.serve("/data/2022/acs/acs1", answer)
    words = ("--years", "2022", "--geography", "api_county", "--mirror", server.url, "--root", root)
    done = run("data", "fetch", "acs_one_year", *words)
    assert done.exit_code == 1
    assert KEY in server.everything_said
    assert KEY not in done.output
    # a publisher may repeat the key in its own file, which is kept as it came; our lists never hold it
    lists = [path for path in (root / "data" / "fetched").rglob("*") if path.is_file() and path.suffix != ".json"]
    assert [path for path in lists if KEY in path.read_text()] == []


def test_years_are_single_ones_and_spans():
    assert years_in("2019-2021, 2024,2020") == [2019, 2020, 2021, 2024]
    for text in ("19-23", "2019-", "2023-2019", "0001-9999", "²⁰¹⁹"):
        with pytest.raises(InputError, match="--years"):
            years_in(text)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_transfer_is_one_line_with_bytes_and_the_time_left():
    now = [0.0]
    screen = Terminal()
    shown = Transfers(stream=screen, clock=lambda: now[0])
    shown.file("people.zip", number=2, count=3)
    shown.transferred("people.zip", 0, 100_000_000)
    now[0] = 10.0
    shown.transferred("people.zip", 25_000_000, 100_000_000)
    last = screen.getvalue().split("\r")[-1].rstrip()
    assert last == "2 of 3 files: people.zip, 25.0 MB of 100.0 MB, about 30 seconds left"
    shown.transferred("people.zip", 30_000_000, None)
    assert screen.getvalue().split("\r")[-1].rstrip() == "2 of 3 files: people.zip, 30.0 MB"
    shown.clear()
    assert screen.getvalue().endswith("\r")


def test_what_an_earlier_try_has_left_does_not_count_for_the_time_left():
    now = [0.0]
    screen = Terminal()
    shown = Transfers(stream=screen, clock=lambda: now[0])
    shown.file("people.zip", number=1, count=1)
    shown.transferred("people.zip", 80_000_000, 100_000_000)
    now[0] = 10.0
    shown.transferred("people.zip", 90_000_000, 100_000_000)
    assert screen.getvalue().endswith("about 10 seconds left")


def test_where_nobody_watches_a_line_now_and_then_is_enough():
    now = [0.0]
    log = io.StringIO()
    shown = Transfers(stream=log, clock=lambda: now[0])
    for second in range(100):
        now[0] = float(second)
        shown.transferred("people.zip", second * 1_000_000, 100_000_000)
    assert log.getvalue().count("\n") == 3


def test_two_vintages_of_a_day_lie_side_by_side(root, server):
    server.serve(aqi_path(2023), aqi_zip(2023))
    assert fetch(root, server, "--years", "2023").exit_code == 0
    server.serve(aqi_path(2022), aqi_zip(2022))
    assert fetch(root, server, "--years", "2022").exit_code == 0
    names = vintages.vintage_names(root / "data" / "fetched", source="epa_aqi")
    assert len(names) == 2
    assert names[1] == f"{names[0]}-2"
