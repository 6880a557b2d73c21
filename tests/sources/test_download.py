from __future__ import annotations

import errno
import hashlib
import logging
import shutil
import ssl
import subprocess
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import requests

from tests.sources import publisher_server as server_of
from tests.sources.publisher_server import PublisherServer
from wwc_research.errors import DataError, InputError
from wwc_research.sources import resumption
from wwc_research.sources.download import Client, Download, OfflineError
from wwc_research.sources.retrieval import Remote

TABLE = b"county,year,days\n" + b"01001,2023,365\n" * 4000
KEY = "0123456789abcdef0123456789abcdef01234567"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PARTS = ("table.csv.part", "table.csv.part.json")


@pytest.fixture
def server() -> Iterator[PublisherServer]:
    with PublisherServer() as publisher:
        yield publisher


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch) -> None:
    for name in ("WWC_RESEARCH_CONTACT", "CENSUS_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


class Clock:
    """A clock that stands still but for those who sleep."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Ticking(Clock):
    """A clock that goes on by a second whenever it is looked at."""

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def client(server: PublisherServer | str, **options) -> Client:
    clock = options.pop("clock", None) or Clock()
    address = server if isinstance(server, str) else server.url
    given = {"mirror": address, "per_second": 1e9, "connect_timeout": 2.0, "read_timeout": 0.3, "attempts": 3}
    given |= {"clock": clock, "sleep": clock.sleep, "jitter": lambda: 1.0, "now": lambda: NOON}
    return Client(**(given | options))


def remote(path: str = "/table.csv", **fields) -> Remote:
    given = {"url": f"https://publisher.example.gov{path}", "name": "table.csv", "kind": "csv", "largest": 1 << 20}
    return Remote(**(given | fields))


def census(**fields) -> Remote:
    return remote("/data/2022/acs/acs1?get=NAME&for=place:*", kind="json", name="table.json",
                  key=("key", "CENSUS_API_KEY"), **fields)  # fmt: skip


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- what is got -----------------------------------------------------------------------------------------


def test_a_download_says_what_lies_on_the_disk(server, tmp_path):
    server.serve("/table.csv", TABLE)
    seen = []
    with client(server, progress=lambda *step: seen.append(step)) as one:
        found = one.fetch(remote(), target=tmp_path / "files" / "table.csv")
    assert found == Download(
        name="table.csv",
        url="https://publisher.example.gov/table.csv",
        sha256=hashlib.sha256(TABLE).hexdigest(),
        bytes=len(TABLE),
        retrieved_at="2026-11-23T12:00:00Z",
        last_modified=server_of.LAST_MODIFIED,
        etag=server_of.etag(TABLE),
        mirror=server.url,
    )
    assert not found.is_empty
    assert (tmp_path / "files" / "table.csv").read_bytes() == TABLE
    assert names(tmp_path / "files") == ["table.csv"]
    assert seen[-1] == ("table.csv", len(TABLE), len(TABLE))
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})


def test_one_connection_carries_many_files_and_every_host_is_asked_at_its_pace(server, tmp_path):
    for number in range(5):
        server.serve(f"/{number}.csv", TABLE)
    clock = Clock()
    with client(server, per_second=2.0, clock=clock) as one:
        for number in range(5):
            one.fetch(remote(f"/{number}.csv"), target=tmp_path / str(number))
    assert server.connections == 1
    assert clock.slept == [0.5] * 4


def test_the_connection_outlives_refusals_and_redirects(server, tmp_path):
    server.serve("/old.csv", server_of.redirected("/table.csv", status=301))
    server.serve("/table.csv", server_of.refused(503, body="busy"), server_of.page(), TABLE)
    with client(server) as one:
        with pytest.raises(DataError):
            one.fetch(remote("/old.csv"), target=tmp_path / "table.csv")
        one.fetch(remote("/old.csv"), target=tmp_path / "table.csv")
    assert len(server.requests) == 6
    assert server.connections == 1


def test_a_gzipped_transfer_is_unpacked(server, tmp_path):
    server.serve("/table.csv", server_of.gzipped(TABLE))
    with client(server) as one:
        assert one.fetch(remote(), target=tmp_path / "table.csv").bytes == len(TABLE)
    assert (tmp_path / "table.csv").read_bytes() == TABLE


def test_a_transfer_of_unknown_length_is_taken_to_its_end(server, tmp_path):
    server.serve("/table.csv", server_of.unmeasured(TABLE))
    seen = []
    with client(server, progress=lambda *step: seen.append(step)) as one:
        assert one.fetch(remote(), target=tmp_path / "table.csv").bytes == len(TABLE)
    assert {total for *_, total in seen} == {None}


def test_no_figures_are_an_empty_file_where_that_may_be_and_an_error_elsewhere(server, tmp_path):
    server.serve("/table.csv", server_of.nothing())
    with client(server) as one:
        found = one.fetch(remote(may_be_empty=True), target=tmp_path / "table.csv")
        assert found.is_empty
        assert (tmp_path / "table.csv").read_bytes() == b""
        with pytest.raises(DataError, match="has no such figures"):
            one.fetch(remote(), target=tmp_path / "other.csv")
    assert names(tmp_path) == ["table.csv"]


def test_an_unchanged_file_is_not_fetched_again_and_a_changed_one_is(server, tmp_path):
    server.serve("/table.csv", TABLE)
    target = tmp_path / "table.csv"
    with client(server) as one:
        known = one.fetch(remote(), target=target)
        target.unlink()
        assert one.fetch_if_changed(remote(), target=target, known=known) is None
        assert not target.exists()
        server.serve("/table.csv", TABLE + b"new\n")
        changed = one.fetch_if_changed(remote(), target=target, known=known)
    assert changed is not None
    assert changed.bytes == len(TABLE) + 4
    assert server.connections == 1


def test_the_user_agent_names_package_version_and_contact(server, tmp_path, monkeypatch):
    server.serve("/table.csv", TABLE)
    monkeypatch.setenv("WWC_RESEARCH_CONTACT", "me@university.edu")
    with client(server) as one:
        one.fetch(remote(), target=tmp_path / "table.csv")
    with client(server, contact="you@city.gov") as one:
        one.fetch(remote(), target=tmp_path / "table.csv")
    agents = [request.headers["user-agent"] for request in server.requests]
    assert agents == ["wwc-research/0.1.0 (me@university.edu)", "wwc-research/0.1.0 (you@city.gov)"]


# --- trying again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_tried_again_after_longer_and_longer_waits(server, tmp_path, status):
    server.serve("/table.csv", server_of.refused(status), server_of.refused(status), TABLE)
    clock = Clock()
    with client(server, clock=clock) as one:
        one.fetch(remote(), target=tmp_path / "table.csv")
    assert clock.slept == [1.0, 2.0]


def test_after_all_attempts_the_error_says_what_the_last_of_them_met(server, tmp_path):
    server.serve("/table.csv", server_of.refused(503))
    with (
        client(server) as one,
        pytest.raises(InputError, match=r"given up after 3 attempts; .* 503 Service Unavailable"),
    ):
        one.fetch(remote(), target=tmp_path / "table.csv")
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418])
def test_what_does_not_pass_is_not_tried_again(server, tmp_path, status):
    server.serve("/table.csv", server_of.refused(status))
    with client(server) as one, pytest.raises(InputError, match=str(status)):
        one.fetch(remote(), target=tmp_path / "table.csv")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        ("7", 7.0),
        (lambda: format_datetime(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=90), usegmt=True), 90.0),
        (lambda: format_datetime(datetime.now(UTC) - timedelta(days=2), usegmt=True), 1.0),
        ("soon", 1.0),
        ("-3", 1.0),
        ("0", 1.0),
    ],
)
def test_a_publisher_that_names_a_wait_is_given_it(server, tmp_path, asked, wait):
    asked = asked if isinstance(asked, str) else asked()
    server.serve("/table.csv", server_of.refused(429, retry_after=asked), TABLE)
    clock = Clock()
    with client(server, clock=clock) as one:
        one.fetch(remote(), target=tmp_path / "table.csv")
    assert clock.slept == [pytest.approx(wait, abs=2.0 if wait == 90.0 else 0.0)]


@pytest.mark.parametrize("asked", ["3600", "9" * 5000])
def test_a_wait_that_is_too_long_is_an_error_that_says_when_to_come_back(server, tmp_path, asked):
    server.serve("/table.csv", server_of.refused(503, retry_after=asked))
    clock = Clock()
    when = "3,600 seconds, at 2026-11-23 13:00 UTC" if asked == "3600" else "seconds, at 20"
    with client(server, clock=clock) as one, pytest.raises(InputError, match=when):
        one.fetch(remote(), target=tmp_path / "table.csv")
    assert clock.slept == []


def test_a_transfer_that_stands_still_is_taken_up_again(server, tmp_path):
    server.serve("/table.csv", server_of.stalled(TABLE, after=20_000), TABLE)
    with client(server, read_timeout=0.05) as one:
        one.fetch(remote(), target=tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_bytes() == TABLE
    assert server.requests[1].headers["range"] == "bytes=20000-"


def test_a_transfer_that_drips_is_given_up_though_every_read_is_quick(server, tmp_path):
    server.serve("/table.csv", server_of.dripped(TABLE, piece=1, pause=0.01))
    with (
        client(server, clock=Ticking(), stall_limit=8, attempts=2) as one,
        pytest.raises(InputError, match="bytes came in"),
    ):
        one.fetch(remote(), target=tmp_path / "table.csv")


# --- broken transfers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [server_of.cut, server_of.reset])
def test_a_broken_transfer_goes_on_where_it_stopped(server, tmp_path, broken):
    server.serve("/table.csv", broken(TABLE, after=20_000), TABLE)
    with client(server) as one:
        found = one.fetch(remote(), target=tmp_path / "table.csv")
    assert found.sha256 == hashlib.sha256(TABLE).hexdigest()
    first, second = server.requests
    assert "range" not in first.headers
    start = int(second.headers["range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= 20_000
    assert second.headers["if-range"] == server_of.etag(TABLE)
    assert names(tmp_path) == ["table.csv"]


def test_what_came_is_kept_for_the_next_command_and_the_final_name_is_given_to_a_whole_file_only(server, tmp_path):
    target = tmp_path / "table.csv"
    server.serve("/table.csv", server_of.cut(TABLE, after=9000), server_of.refused(500))
    with client(server) as one, pytest.raises(InputError, match=r"9,000 bytes of this file\) is kept"):
        one.fetch(remote(), target=target)
    assert names(tmp_path) == list(PARTS)
    server.serve("/table.csv", TABLE)
    with client(server) as one:
        one.fetch(remote(), target=target)
    assert server.requests[-1].headers["range"] == "bytes=9000-"
    assert target.read_bytes() == TABLE
    assert names(tmp_path) == ["table.csv"]


NEWER = TABLE.replace(b"365", b"366")
SAME = {"ETag": None, "Last-Modified": server_of.LAST_MODIFIED}


@pytest.mark.parametrize(
    "answers",
    {
        "changed meanwhile": [server_of.cut(TABLE, after=9000), NEWER],
        "changed, and If-Range not honoured": [
            server_of.cut(TABLE, after=9000),
            lambda request: server_of.refused(
                206, body=NEWER[9000:], headers={"ETag": '"new"', "Content-Range": "bytes 9000-60016/60017"}
            ),
            NEWER,
        ],
        "changed, and nothing says of which version the rest is": [
            server_of.cut(TABLE, after=9000),
            server_of.refused(206, body=NEWER[9000:], headers={"Content-Range": "bytes 9000-60016/60017"}),
            NEWER,
        ],
        "range ignored": [server_of.cut(TABLE, after=9000), server_of.without_ranges(NEWER)],
        "another range": [server_of.cut(NEWER, after=9000), server_of.wrong_range(NEWER, start=8000), NEWER],
        "416": [server_of.cut(TABLE, after=9000), server_of.refused(416), NEWER],
        "no validator": [server_of.cut(TABLE, after=9000, headers={"ETag": None, "Last-Modified": None}), NEWER],
        "weak validator": [server_of.cut(TABLE, after=9000, headers={"ETag": 'W/"1"', "Last-Modified": None}), NEWER],
        "dated this minute": [
            server_of.cut(
                TABLE,
                after=9000,
                headers={"ETag": None, "Last-Modified": format_datetime(datetime.now(UTC), usegmt=True)},
            ),
            NEWER,
        ],
        "no ranges there": [server_of.cut(TABLE, after=9000, headers={"Accept-Ranges": "none"}), NEWER],
    }.items(),
    ids=lambda pair: pair[0],
)
def test_two_versions_are_never_spliced(server, tmp_path, answers):
    server.serve("/table.csv", *answers[1])
    with client(server) as one:
        found = one.fetch(remote(), target=tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_bytes() == NEWER
    assert found.sha256 == hashlib.sha256(NEWER).hexdigest()
    assert names(tmp_path) == ["table.csv"]


@pytest.mark.parametrize("headers", [{"ETag": 'W/"1"', "Last-Modified": None}, {"Accept-Ranges": "none"}])
def test_a_rest_is_not_asked_for_where_its_version_could_not_be_told(server, tmp_path, headers):
    server.serve("/table.csv", server_of.cut(TABLE, after=9000, headers=headers), TABLE)
    with client(server) as one:
        one.fetch(remote(), target=tmp_path / "table.csv")
    assert all("range" not in request.headers for request in server.requests)


def test_a_part_of_another_address_is_not_gone_on_with(server, tmp_path):
    server.serve("/old.csv", server_of.cut(TABLE, after=9000), server_of.refused(404))
    server.serve("/new.csv", TABLE)
    with client(server) as one:
        with pytest.raises(InputError):
            one.fetch(remote("/old.csv"), target=tmp_path / "table.csv")
        assert names(tmp_path) == list(PARTS)
        one.fetch(remote("/new.csv"), target=tmp_path / "table.csv")
    assert "range" not in server.requests[-1].headers


def test_a_date_serves_to_go_on_where_there_is_no_etag(server, tmp_path):
    dated = server_of.whole(TABLE, headers={"ETag": None})
    server.serve("/table.csv", server_of.cut(TABLE, after=9000, headers={"ETag": None}), dated)
    with client(server) as one:
        one.fetch(remote(), target=tmp_path / "table.csv")
    assert server.requests[1].headers["if-range"] == server_of.LAST_MODIFIED
    assert server.requests[1].headers["range"] == "bytes=9000-"
    assert (tmp_path / "table.csv").read_bytes() == TABLE


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": 3}', "\x00", '{"url": "https://elsewhere.gov/table.csv"}'])
def test_a_part_without_a_sound_note_is_not_gone_on_with(server, tmp_path, note):
    (tmp_path / PARTS[0]).write_bytes(b"of something else")
    (tmp_path / PARTS[1]).write_text(note, encoding="utf-8")
    server.serve("/table.csv", TABLE)
    with client(server) as one:
        one.fetch(remote(), target=tmp_path / "table.csv")
    assert "range" not in server.requests[0].headers
    assert (tmp_path / "table.csv").read_bytes() == TABLE


def test_a_long_file_that_breaks_off_often_and_yet_grows_is_not_given_up(server, tmp_path):
    content = b"0123456\n" * (1 << 19)
    server.serve("/table.csv", *[server_of.cut(content, after=(1 << 20) + 8)] * 3, content)
    with client(server, attempts=2) as one:
        one.fetch(remote(largest=1 << 23), target=tmp_path / "table.csv")
    assert len(server.requests) == 4
    assert (tmp_path / "table.csv").read_bytes() == content


def test_a_packed_transfer_that_ends_in_the_middle_is_no_file(server, tmp_path):
    def half(exchange) -> None:
        import gzip

        packed = gzip.compress(TABLE)
        exchange.full(200, packed[: len(packed) // 2], {"Content-Encoding": "gzip"})

    server.serve("/table.csv", server_of.Answer(half))
    with client(server) as one, pytest.raises(InputError, match="packed transfer ended in the middle"):
        one.fetch(remote(), target=tmp_path / "table.csv")
    assert names(tmp_path) == []


# --- what is not what was asked for ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["zip", "xlsx", "csv", "json", "text"])
def test_a_page_with_status_200_is_no_file_and_its_title_is_told(server, tmp_path, kind):
    server.serve("/table.csv", server_of.page("Sorry\x1b[31m &amp; \u202egoodbye " + "x" * 500))
    with client(server) as one, pytest.raises(DataError, match="an HTML page came in place of") as caught:
        one.fetch(remote(kind=kind), target=tmp_path / "table.csv")
    assert "“Sorry [31m & goodbye xxx" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert names(tmp_path) == []


ARCHIVE = server_of.zip_of({"a.csv": "x\n1\n"})
PLAIN_TEXT = "figures\n"


@pytest.mark.parametrize(
    ("kind", "body", "came"),
    [
        ("zip", PLAIN_TEXT, "something else came in place of a zip file"),
        ("zip", ARCHIVE[:-10], "cut off"),
        ("xlsx", b"\xd0\xcf\x11\xe0" + b"\0" * 40, "an Excel file of the old format"),
        ("csv", ARCHIVE, "a zip file came in place of a CSV table"),
        ("csv", b"\x1f\x8b\x08", "a gzip file"),
        ("csv", '{"error": "no"}', "JSON came in place of a CSV table"),
        ("csv", '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "marked-up text"),
        ("csv", "a,b\n\0\0", "a file that is no text"),
        ("json", "error: unknown variable", "“error: unknown variable”"),
        ("json", '[["NAME"],["Seat', "cut off"),
        ("text", b"%PDF-1.7", "a PDF file"),
        ("text", b"\xff\xfea\0", "UTF-16"),
        ("csv", b"", "an empty file came"),
    ],
)
def test_another_kind_of_file_is_refused_by_its_bytes(server, tmp_path, kind, body, came):
    server.serve("/table.csv", server_of.whole(body, content_type="text/csv"))
    with client(server) as one, pytest.raises(DataError, match=came):
        one.fetch(remote(kind=kind), target=tmp_path / "table.csv")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [("zip", ARCHIVE), ("xlsx", ARCHIVE), ("csv", b"\xef\xbb\xbfa,b\n"), ("json", b' \n[["a"]]\n'), ("text", b"a|b\n")],
)
def test_the_right_kind_of_file_is_taken(server, tmp_path, kind, body):
    server.serve("/table.csv", body)
    with client(server) as one:
        assert one.fetch(remote(kind=kind), target=tmp_path / "table.csv").bytes == len(body)


@pytest.mark.parametrize(
    "answer",
    [
        server_of.whole(TABLE),
        server_of.unmeasured(TABLE),
        server_of.gzip_bomb(50_000_000),
        server_of.Answer(lambda exchange: exchange.head(200, {"Content-Length": "9" * 4000})),
    ],
    ids=["declared", "undeclared", "gzip bomb", "absurd"],
)
def test_no_more_bytes_come_than_may(server, tmp_path, answer):
    server.serve("/table.csv", answer)
    steps = []
    with (
        client(server, progress=lambda *step: steps.append(step)) as one,
        pytest.raises(DataError, match="30,000 are the most"),
    ):
        one.fetch(remote(largest=30_000), target=tmp_path / "table.csv")
    assert all(done <= 30_000 for _, done, _ in steps)
    assert len(server.requests) == 1
    assert names(tmp_path) == []


def test_a_failed_fetch_leaves_the_old_file_alone(server, tmp_path):
    target = tmp_path / "table.csv"
    target.write_bytes(b"old")
    server.serve("/table.csv", server_of.page(), server_of.cut(TABLE, after=5000), server_of.refused(404))
    with client(server) as one:
        for _ in range(2):
            with pytest.raises((DataError, InputError)):
                one.fetch(remote(), target=target)
    assert target.read_bytes() == b"old"


def test_an_answer_that_is_no_http_is_an_error_of_ours(server, tmp_path):
    def noise(exchange) -> None:
        exchange.send(b"\x00\xff garbage\r\n\r\n")
        exchange.hang_up()

    server.serve("/table.csv", server_of.Answer(noise))
    with client(server) as one, pytest.raises(InputError, match="broke the connection off"):
        one.fetch(remote(), target=tmp_path / "table.csv")


# --- redirects -------------------------------------------------------------------------------------------


def test_redirects_in_a_circle_are_named(server, tmp_path):
    server.serve("/table.csv", server_of.redirected("/b.csv"))
    server.serve("/b.csv", server_of.redirected("/table.csv"))
    with client(server) as one, pytest.raises(DataError, match=r"circle: \S+/table.csv → \S+/b.csv → \S+/table.csv"):
        one.fetch(remote(), target=tmp_path / "table.csv")


def test_five_redirects_are_followed_and_a_sixth_is_not(server, tmp_path):
    for number in range(6):
        server.serve(f"/{number}", server_of.redirected(f"/{number + 1}"))
    server.serve("/6", TABLE)
    with client(server) as one:
        one.fetch(remote("/1"), target=tmp_path / "table.csv")
        with pytest.raises(DataError, match="more than 5 redirects"):
            one.fetch(remote("/0"), target=tmp_path / "table.csv")


@pytest.mark.parametrize(
    "to", ["http://publisher.example.gov/x", "ftp://a.gov/x", "file:///etc/passwd", "https://u:p@a.gov/x", "//[", ""]
)
def test_a_redirect_away_from_a_secure_connection_is_not_followed(server, tmp_path, to):
    server.serve("/table.csv", server_of.redirected(to))
    with client(server) as one, pytest.raises(DataError, match=r"not followed|no address"):
        one.fetch(remote(), target=tmp_path / "table.csv")
    assert len(server.requests) == 1


def test_without_a_mirror_no_plain_connection_is_made_even_on_this_machine(server, tmp_path, monkeypatch):
    def answer(session, address, **options):
        response = requests.Response()
        response.status_code, response.url = 302, address
        response.headers["Location"] = f"{server.url}/table.csv"
        response.raw = _NoBody()
        return response

    monkeypatch.setattr(requests.Session, "get", answer)
    with client(server, mirror=None) as one, pytest.raises(DataError, match="away from a secure connection"):
        one.fetch(remote(), target=tmp_path / "table.csv")
    with client(server, mirror=None) as one, pytest.raises(InputError, match="only addresses with https"):
        one.fetch(remote(url=f"{server.url}/table.csv"), target=tmp_path / "table.csv")
    assert server.requests == []


class _NoBody:
    def read1(self, *args, **options) -> bytes:
        return b""

    def close(self) -> None:
        return None

    release_conn = close


# --- keys ------------------------------------------------------------------------------------------------


@pytest.fixture
def key(monkeypatch) -> str:
    monkeypatch.setenv("CENSUS_API_KEY", f" {KEY}\n")
    return KEY


def test_a_key_goes_into_the_request_and_nowhere_else(server, tmp_path, key, caplog):
    server.serve("/data/2022/acs/acs1?for=place:*", server_of.wants_key('[["NAME"]]', key=key))
    with caplog.at_level(logging.DEBUG), client(server) as one:
        found = one.fetch(census(), target=tmp_path / "table.json")
        assert key not in repr(one) + repr(vars(one))
    assert server.requests[0].query["key"] == key
    assert found.url == "https://publisher.example.gov/data/2022/acs/acs1?get=NAME&for=place:*"
    assert key not in repr(found) + caplog.text
    assert "key=<key>" in caplog.text


HOSTILE = {
    "refused": server_of.refused(400, body=f"bad key {KEY}"),
    "forbidden": server_of.refused(403, body=f"<html><title>{'x' * 100} {KEY}</title>"),
    "page": server_of.page(f"no {KEY}"),
    "text": server_of.whole(f"error {KEY}"),
    "busy": server_of.refused(503, body=KEY),
    "broken": server_of.cut(f'["{KEY}"]' + " " * 5000, after=3000),
    "silent": server_of.stalled("[]", after=0),
    "circle": server_of.redirected(f"/data/2022/acs/acs1?get=NAME&for=place:*&key={KEY}"),
    "in the path": server_of.redirected(f"/{KEY}/x"),
    "plain": server_of.redirected(f"http://elsewhere.example.org/?key={KEY}"),
    "invalid": server_of.redirected("/data/invalid_key.html", headers={"X-Echo": KEY}),
    "large": server_of.whole(" " * 2_000_000),
    "noise": server_of.Answer(lambda exchange: exchange.send(f"{KEY}\r\n\r\n".encode())),
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_no_error_holds_the_key_not_even_in_what_it_was_raised_from(server, tmp_path, key, caplog, answer):
    server.serve("/data/2022/acs/acs1", answer)
    with (
        caplog.at_level(logging.DEBUG),
        client(server, read_timeout=0.05, attempts=2) as one,
        pytest.raises((InputError, DataError)) as caught,
    ):
        one.fetch(census(), target=tmp_path / "table.json")
    _holds_no_key(caught.value, key)
    assert key not in caplog.text
    for path in tmp_path.iterdir():
        assert key not in path.name + path.read_text(encoding="utf-8") or path.suffix == ".part"


def test_no_error_of_a_dead_connection_holds_the_key(tmp_path, key, monkeypatch):
    with client("http://127.0.0.1:9") as one, pytest.raises(OfflineError) as caught:
        one.fetch(census(), target=tmp_path / "table.json")
    _holds_no_key(caught.value, key)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with client("", mirror=None) as one, pytest.raises(OfflineError, match="proxy") as caught:
        one.fetch(census(), target=tmp_path / "table.json")
    _holds_no_key(caught.value, key)


def _holds_no_key(error: BaseException, key: str) -> None:
    assert key not in "".join(traceback.format_exception(error))
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop()
        if cause is not None:
            assert key not in f"{cause}{cause!r}{cause.args}"
            waiting += [cause.__cause__, cause.__context__]


@pytest.mark.parametrize("echoed", ["", "&key={key}", "&token={key}"])
def test_the_key_is_not_taken_along_to_another_host(server, tmp_path, key, echoed):
    with PublisherServer() as other:
        other.serve("/moved", '[["NAME"]]')
        server.serve("/data/2022/acs/acs1", server_of.redirected(f"{other.url}/moved?a=1{echoed.format(key=key)}"))
        with client(server) as one:
            one.fetch(census(), target=tmp_path / "table.json")
        assert other.requests[0].query == {"a": "1"}
        assert key not in other.everything_said
    assert key in server.everything_said


def test_a_redirect_that_puts_the_key_into_a_path_is_not_followed(server, tmp_path, key):
    with PublisherServer() as other:
        server.serve("/data/2022/acs/acs1", server_of.redirected(f"{other.url}/{key}/moved"))
        with client(server) as one, pytest.raises(DataError, match="would carry the key"):
            one.fetch(census(), target=tmp_path / "table.json")
        assert other.requests == []


def test_the_key_is_taken_along_on_the_same_host_where_the_redirect_repeats_it(server, tmp_path, key):
    server.serve("/data/2022/acs/acs1", server_of.redirected(f"/data/2022/acs/acs1/?get=NAME&key={key}"))
    server.serve("/data/2022/acs/acs1/", server_of.wants_key('[["NAME"]]', key=key))
    with client(server) as one:
        one.fetch(census(), target=tmp_path / "table.json")


def test_a_missing_key_is_said_with_the_variable_and_where_to_get_one(server, tmp_path):
    server.serve("/data/2022/acs/acs1", server_of.wants_key("[]", key=KEY))
    asked = census(url="https://api.census.gov/data/2022/acs/acs1?get=NAME&for=place:*")
    for mirror, requests_sent in ((server.url, 1), (None, 1)):
        with client(server, mirror=mirror) as one, pytest.raises(InputError) as caught:
            one.fetch(asked, target=tmp_path / "table.json")
        assert "the environment variable CENSUS_API_KEY holds none" in str(caught.value)
        assert "https://api.census.gov/data/key_signup.html" in str(caught.value)
        assert len(server.requests) == requests_sent


def test_a_wrong_key_is_said_also_where_only_the_page_tells(server, tmp_path, monkeypatch):
    monkeypatch.setenv("CENSUS_API_KEY", "f" * 40)
    server.serve("/data/2022/acs/acs1", server_of.wants_key("[]", key=KEY), server_of.page("Invalid Key"))
    with client(server) as one:
        for _ in range(2):
            with pytest.raises(InputError, match="does not accept the key in the environment variable CENSUS_API_KEY"):
                one.fetch(census(), target=tmp_path / "table.json")
    assert "/data/invalid_key.html" not in server.paths()


@pytest.mark.parametrize("value", ["a\nb", "ключ"])
def test_a_key_that_cannot_be_one_is_refused_unsaid(server, tmp_path, monkeypatch, value):
    monkeypatch.setenv("CENSUS_API_KEY", value)
    with client(server) as one, pytest.raises(InputError, match="holds no key") as caught:
        one.fetch(census(), target=tmp_path / "table.json")
    assert value not in str(caught.value)


# --- refusals --------------------------------------------------------------------------------------------


def test_a_publisher_that_wants_a_contact_is_explained(server, tmp_path):
    server.serve("/table.csv", server_of.wants_contact(TABLE))
    with (
        client(server) as one,
        pytest.raises(InputError, match=r"403 Forbidden.*“Access Denied”.*WWC_RESEARCH_CONTACT"),
    ):
        one.fetch(remote(), target=tmp_path / "table.csv")
    with client(server, contact="me@university.edu") as one:
        one.fetch(remote(), target=tmp_path / "table.csv")


def test_a_file_that_is_not_there_is_said_with_its_year(server, tmp_path):
    with client(server) as one, pytest.raises(InputError, match=r"404 Not Found: .* not be published for 2031 yet"):
        one.fetch(remote(year=2031), target=tmp_path / "table.csv")


@pytest.mark.parametrize("contact", ["a\r\nX-Evil: 1", "é@x.org", "x" * 500])
def test_a_contact_that_is_no_header_is_refused(contact):
    with pytest.raises(InputError, match="e-mail address"):
        Client(contact=contact)


@pytest.mark.parametrize(
    "mirror", ["http://mirror.example.org", "ftp://x", "mirror", "https://u:p@x.org", "https://x/?a=1"]
)
def test_a_mirror_without_a_secure_connection_is_refused(mirror):
    with pytest.raises(InputError, match="mirror"):
        Client(mirror=mirror)


def test_a_mirror_may_stand_in_a_folder(server, tmp_path):
    server.serve("/wwc/table.csv", TABLE)
    with client(f"{server.url}/wwc/") as one:
        one.fetch(remote(), target=tmp_path / "table.csv")


@pytest.mark.parametrize("option", ["per_second", "connect_timeout", "read_timeout", "stall_limit", "attempts"])
def test_a_limit_that_is_none_is_refused(option):
    with pytest.raises(InputError, match=option):
        Client(**{option: 0})


# --- no network, no disk, no certificate -----------------------------------------------------------------


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://localhost:9"])
def test_without_a_connection_it_is_said_at_once_and_what_goes_on_serving(tmp_path, address):
    clock = Clock()
    with client(address, clock=clock, attempts=9) as one, pytest.raises(OfflineError, match="go on serving"):
        one.fetch(remote(), target=tmp_path / "table.csv")
    assert clock.slept == [0.5]


def test_a_name_that_cannot_be_resolved_is_no_connection(tmp_path):
    with client("", mirror=None) as one, pytest.raises(OfflineError, match="name cannot be resolved"):
        one.fetch(remote(url="https://publisher.invalid/table.csv"), target=tmp_path / "table.csv")


def test_a_publisher_that_comes_back_within_a_moment_is_no_offline(server, tmp_path, monkeypatch):
    server.serve("/table.csv", TABLE)
    get, failures = requests.Session.get, [requests.exceptions.ConnectTimeout("x")]
    from urllib3.exceptions import ConnectTimeoutError

    def sometimes(session, *args, **options):
        if failures:
            raise requests.exceptions.ConnectTimeout(ConnectTimeoutError(failures.pop()))
        return get(session, *args, **options)

    monkeypatch.setattr(requests.Session, "get", sometimes)
    with client(server) as one:
        one.fetch(remote(), target=tmp_path / "table.csv")


def test_a_full_disk_is_said_plainly(server, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    server.serve("/table.csv", server_of.without_ranges(TABLE))
    (tmp_path / PARTS[0]).symlink_to("/dev/full")
    with client(server) as one, pytest.raises(InputError, match=r"table\.csv: the disk is full"):
        one.fetch(remote(), target=tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()


def test_a_target_that_cannot_be_written_is_said_plainly(server, tmp_path):
    server.serve("/table.csv", TABLE)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    with client(server) as one:
        for target in (tmp_path / "file" / "table.csv", tmp_path / "folder"):
            with pytest.raises(InputError, match="cannot be written"):
                one.fetch(remote(), target=target)


def test_a_quota_counts_as_a_full_disk(tmp_path):
    with pytest.raises(InputError, match="disk is full"), resumption.plain_disk_errors(tmp_path):
        raise OSError(errno.EDQUOT, "quota")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_a_certificate_that_nobody_vouches_for_is_refused_and_nothing_is_sent(tmp_path):
    pem, secret = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", str(secret), "-out", str(pem)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    with _listening() as listener:
        thread = threading.Thread(target=_shake_hands, args=(listener, context), daemon=True)
        thread.start()
        address = f"https://localhost:{listener.getsockname()[1]}"
        with client(address) as one, pytest.raises(InputError, match="certificate cannot be trusted"):
            one.fetch(remote(), target=tmp_path / "table.csv")
        thread.join()


def _listening():
    import socket

    return socket.create_server(("127.0.0.1", 0))


def _shake_hands(listener, context) -> None:
    raw, _ = listener.accept()
    try:
        context.wrap_socket(raw, server_side=True).close()
    except (ssl.SSLError, OSError):
        raw.close()


def test_a_client_outside_a_with_statement_is_a_mistake_of_the_programmer(tmp_path):
    with pytest.raises(RuntimeError, match="with statement"):
        Client().fetch(remote(), target=tmp_path / "table.csv")


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_a_key_that_a_server_repeats_in_its_validators_lies_in_no_note(server, tmp_path, key, header):
    table = b'[["NAME"],' + b'["x"],' * 3000 + b'["y"]]'
    server.serve("/data/2022/acs/acs1", server_of.cut(table, after=9000, headers={"ETag": '"a"', header: f'"{key}"'}))
    with client(server, attempts=1) as one, pytest.raises(InputError, match="given up"):
        one.fetch(census(), target=tmp_path / "table.json")
    assert all(key not in path.read_text(encoding="utf-8") for path in tmp_path.iterdir())


def test_an_answer_that_repeats_the_key_is_not_kept(server, tmp_path, key):
    server.serve("/data/2022/acs/acs1", f'[["{key.upper()}"]]')
    with client(server) as one, pytest.raises(DataError, match="repeats the key of the request") as caught:
        one.fetch(census(), target=tmp_path / "table.json")
    _holds_no_key(caught.value, key)
    assert names(tmp_path) == []


def test_a_key_in_letters_of_another_case_is_hidden_too(server, tmp_path, key):
    server.serve("/data/2022/acs/acs1", server_of.refused(400, body=f"bad key {key.upper()}"))
    with client(server) as one, pytest.raises(InputError, match="bad key <key>"):
        one.fetch(census(), target=tmp_path / "table.json")
