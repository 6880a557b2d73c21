"""A file at a publisher → the same bytes on this disk, whole or not at all.

In: a `Remote` and a target path. Out: a `Download`, which says what was got; errors that say what the publisher did.
"""

from __future__ import annotations

import logging
import os
import random
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import SplitResult, urlsplit, urlunsplit

import requests
import urllib3

from wwc_research import __version__
from wwc_research.errors import DataError, InputError, WwcError
from wwc_research.sources.access_keys import KEY_SIGN_UP, Hiding, Key, redirect_target
from wwc_research.sources.resumption import Part, Version, coding, http_date, plain_disk_errors
from wwc_research.sources.retrieval import Remote
from wwc_research.sources.signatures import SNIFFED, is_page, kind_fault, one_line, page_title, whole_fault

CONTACT_VARIABLE: Final = "WWC_RESEARCH_CONTACT"
TRY_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS: Final = 5
LONGEST_BACKOFF: Final = 60.0
# Seconds before the one further try where the publisher cannot be reached at all.
SECOND_TRY: Final = 0.5
# Slower than this over a whole `stall_limit` is no transfer any more.
LEAST_BYTES_PER_SECOND: Final = 100
# A broken transfer that brought at least this much more than ever before counts as none of the attempts.
PROGRESS_STEP: Final = 1 << 20

_PIECE = 1 << 16
_PAGE = 1 << 14
_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry", "urllib3.connection", "urllib3.poolmanager")


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What was got from a publisher.

    Attributes
    ----------
    name
        File name in the vintage's folder.
    url
        The publisher's address, without any key.
    sha256, bytes
        Of the file as it lies on the disk, read back from there.
    retrieved_at
        The moment the file was whole: UTC, ISO 8601.
    last_modified, etag
        What the server said of the file's version; empty where it said nothing.
    mirror
        The server that gave the file in the publisher's place, or `file` where it was handed in from a folder; empty
        where it was the publisher.
    """

    name: str
    url: str
    sha256: str
    bytes: int
    retrieved_at: str
    last_modified: str = ""
    etag: str = ""
    mirror: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether the publisher said that it has no such figures (204); no other empty answer is accepted."""
        return self.bytes == 0


class OfflineError(InputError):
    """No publisher can be reached from here; what is already on the disk goes on serving."""


class Client:
    """A connection pool, and the manners of a good guest: one is opened for many files.

    Retries are a loop of this class and not urllib3's `Retry`, which acts before the body only: it cannot resume a
    transfer that broke off, caps `Retry-After` without a word, climbs the whole ladder where there is no network,
    sends a key along to where it is redirected, and names the address with the key in its errors. Pool, proxies
    and certificates are those of `requests`, with the environment's proxies and authorities.

    Parameters
    ----------
    mirror
        Address that stands in for scheme and host of every publisher: https, or http on this machine.
    contact
        E-mail address or page named in the User-Agent; by default the environment's `WWC_RESEARCH_CONTACT`.
    per_second
        Most requests a second to one host.
    connect_timeout, read_timeout
        Seconds to wait for a connection, and for the next bytes.
    stall_limit
        Seconds over which fewer than `LEAST_BYTES_PER_SECOND` a second count as a broken transfer.
    attempts
        Tries a file, each after a longer wait, before it is given up.
    longest_wait
        Most seconds to wait where a publisher asks for it (`Retry-After`); beyond it the error says when to return.
    progress
        Called with the file's name, the bytes got so far, and all bytes, or None where they are not known.
    clock, sleep, jitter, now
        Seconds of a steady clock, waiting, a number from 0 to 1, the time of day in UTC: to be replaced in tests.

    Notes
    -----
    Keys are read from the environment where a request is made, go into that request only, and are hidden from
    urllib3's log. Not for use by several threads at once.
    """

    def __init__(
        self,
        *,
        mirror: str | None = None,
        contact: str | None = None,
        per_second: float = 2.0,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        stall_limit: float = 60.0,
        attempts: int = 5,
        longest_wait: float = 300.0,
        progress: Callable[[str, int, int | None], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        numbers = {
            "per_second": per_second,
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout,
            "stall_limit": stall_limit,
            "attempts": attempts,
        }
        for name, number in numbers.items():
            if not number > 0:
                raise InputError(f"{name} is {number}; a number above 0 is wanted")
        self._mirror = None if mirror is None else _checked_mirror(mirror)
        contact = os.environ.get(CONTACT_VARIABLE) if contact is None else contact
        self._contact = _checked_contact((contact or "").strip())
        self._interval = 1 / per_second
        self._timeouts = (connect_timeout, read_timeout)
        self._stall_limit = stall_limit
        self._attempts = attempts
        self._longest_wait = longest_wait
        self._progress = progress
        self._clock, self._sleep, self._jitter, self._now = clock, sleep, jitter, now
        self._free_at: dict[str, float] = {}
        self._hiding = Hiding()
        self._session: requests.Session | None = None

    def __enter__(self) -> Self:
        self._session = _Session()
        agent = f"wwc-research/{__version__}"
        self._session.headers["User-Agent"] = f"{agent} ({self._contact})" if self._contact else agent
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._hiding)
        return self

    def __exit__(self, *exc: object) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._hiding)
        if self._session is not None:
            self._session.close()
            self._session = None

    def fetch(self, remote: Remote, *, target: Path) -> Download:
        """The publisher's file at `target`, whole.

        An unfinished transfer stays beside it (`<target>.part`, with `<target>.part.json` for its validators) and is
        taken up by the next call, if the publisher still has the same version. Where the publisher has no such
        figures and `remote.may_be_empty`, the file is empty.

        Raises
        ------
        OfflineError
            If the publisher cannot be reached, at once.
        InputError
            If the publisher refuses, or does not deliver after all attempts, or the file cannot be written.
        DataError
            If what comes is not what was asked for: a page, another kind of file, too many bytes.
        """
        found = self._fetch(remote, target=Path(target), known=None)
        assert found is not None  # only a known version can be found unchanged
        return found

    def fetch_if_changed(self, remote: Remote, *, target: Path, known: Download) -> Download | None:
        """The publisher's file at `target`; None, and nothing written, where it is still the `known` one.

        A publisher that names neither ETag nor Last-Modified cannot be asked; the file is then fetched.
        """
        return self._fetch(remote, target=Path(target), known=known)

    def _fetch(self, remote: Remote, *, target: Path, known: Download | None) -> Download | None:
        key = self._key(remote)
        with plain_disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        part = Part(target=target, url=remote.url)
        tried, unreachable, reached = 0, 0, part.length()
        while True:
            try:
                return self._attempt(remote, part=part, key=key, known=known)
            except _Interruption as interruption:
                failure = interruption
            # Out here the failure is no part of what is raised.
            kept = part.length() if part.version() is not None else 0
            if failure.is_unreachable:
                unreachable += 1
                if unreachable > 1:
                    raise self._offline(remote, reason=failure.reason, kept=kept)
                self._sleep(SECOND_TRY)
                continue
            unreachable = 0
            if kept >= reached + PROGRESS_STEP:
                tried, reached = 0, kept
            tried += 1
            if tried >= self._attempts:
                raise InputError(
                    f"{self._said(remote.url)}: given up after {tried} attempts; the last of them: {failure.reason}. "
                    f"Try again later: {_what_is_kept(kept)}"
                )
            if not failure.is_immediate:
                self._sleep(max(failure.wait, self._backoff(tried)))

    # --- one attempt ---------------------------------------------------------------------------------------

    def _attempt(self, remote: Remote, *, part: Part, key: Key | None, known: Download | None) -> Download | None:
        version = part.version()
        # What is packed anew for every transfer cannot be taken up in the middle.
        headers = {"Accept-Encoding": "identity" if remote.kind in ("zip", "xlsx") or version else "gzip"}
        if version is not None:
            headers |= {"Range": f"bytes={part.length()}-", "If-Range": version.validator}
        elif known is not None:
            validators = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
            headers |= {name: value for name, value in validators.items() if value}
        response = self._answer(remote, headers=headers, key=key)
        try:
            if response.status_code == 304 and known is not None and version is None:
                _gathered_quietly(response)
                return None
            self._take(response, remote=remote, part=part, version=version)
            return self._download(response, remote=remote, part=part)
        finally:
            response.close()

    def _take(self, response: requests.Response, *, remote: Remote, part: Part, version: Version | None) -> None:
        """Put into the part what the answer brings, or say why it brings nothing."""
        status = response.status_code
        if version is not None and status in (206, 416):
            if status == 206 and version.continues(response.headers, offset=part.length()):
                self._save(response, remote=remote, part=part, offset=part.length())
                return
            # Never a splice: another version, other bytes than were asked for, or a part longer than the file.
            part.drop()
            raise _Interruption("the file at the publisher is another than the one begun", is_immediate=True)
        if status == 200:
            self._save(response, remote=remote, part=part, offset=0)
        elif status == 204 and remote.may_be_empty:
            part.drop()
            with plain_disk_errors(part.target):
                part.path.touch()
        else:
            self._refuse(response, remote=remote)

    def _download(self, response: requests.Response, *, remote: Remote, part: Part) -> Download:
        size, digest = part.finish()
        return Download(
            name=remote.name,
            url=remote.url,
            sha256=digest,
            bytes=size,
            retrieved_at=self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            last_modified=self._header(response, "Last-Modified"),
            etag=self._header(response, "ETag"),
            mirror="" if self._mirror is None else self._mirror.geturl(),
        )

    def _save(self, response: requests.Response, *, remote: Remote, part: Part, offset: int) -> None:
        """The body in the part from `offset` on, checked; what lies there stays until the first bytes are good."""
        length = _number(response.headers.get("Content-Length"))
        total = offset + length if length is not None and not coding(response.headers) else None
        if length is not None and offset + length > remote.largest:
            raise self._too_large(remote, came=f"{offset + length:,} bytes")
        pieces = self._pieces(response, remote=remote, length=length)
        begun, version = b"", None
        if offset == 0:
            begun = _gathered(pieces, size=SNIFFED)
            if fault := kind_fault(begun, kind=remote.kind):
                raise self._not_what_was_asked(begun + _gathered(pieces, size=_PAGE), remote=remote, fault=fault)
            version = Version.of(response.headers, total=total)
            if version is not None and self._holds_key(f"{version.etag} {version.last_modified}"):
                version = None  # its note would lie on the disk
        done = offset
        try:
            with plain_disk_errors(part.target), part.opened(offset=offset, version=version) as file:
                for piece in _chained(begun, pieces):
                    done += len(piece)
                    if done > remote.largest:
                        break
                    file.write(piece)
                    if self._progress is not None:
                        self._progress(remote.name, done, total)
        except _Interruption:
            if part.version() is None:
                part.drop()
            raise
        if done > remote.largest:
            part.drop()
            raise self._too_large(remote, came=f"more than {remote.largest:,} bytes")
        with plain_disk_errors(part.target):
            fault = whole_fault(part.path, kind=remote.kind)
            if not fault and remote.key and self._holds_key(part.path.read_text(encoding="utf-8", errors="replace")):
                fault = "it repeats the key of the request, which must not lie on the disk"
        if fault:
            part.drop()
            raise DataError(f"{self._said(remote.url)}: came whole, but {fault}. Fetch it again later")

    def _pieces(self, response: requests.Response, *, remote: Remote, length: int | None) -> Iterator[bytes]:
        """The decoded bytes of the body; `_Interruption` where they stop before the end or come too slowly."""
        packing = coding(response.headers)
        if packing not in ("", "gzip", "x-gzip"):
            packed = one_line(self._hiding.hidden(packing))
            raise DataError(f"{self._said(remote.url)}: comes packed as {packed!r}, which was not asked for")
        unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if packing else None
        got = in_window = 0
        window = self._clock()
        while piece := _read(response):
            got += len(piece)
            in_window += len(piece)
            yield from (piece,) if unpack is None else _unpacked(unpack, piece)
            elapsed = self._clock() - window
            if elapsed >= self._stall_limit:
                if in_window < elapsed * LEAST_BYTES_PER_SECOND:
                    raise _Interruption(f"only {in_window:,} bytes came in {elapsed:,.0f} seconds")
                window, in_window = self._clock(), 0
        if length is not None and got != length:
            raise _Interruption(f"the transfer ended after {got:,} of {length:,} bytes")
        if unpack is not None and not unpack.eof:
            raise _Interruption(f"the packed transfer ended in the middle, after {got:,} bytes")

    # --- requests and redirects ----------------------------------------------------------------------------

    def _answer(self, remote: Remote, *, headers: Mapping[str, str], key: Key | None) -> requests.Response:
        """The answer behind all redirects, its body not read yet."""
        address = self._address(remote.url)
        chain = [address]
        keyed = key is not None
        while True:
            response = self._get(address, headers=headers, key=key if keyed else None)
            if self._is_key_error(response):
                _finish(response)
                raise self._key_refused(remote, has_key=key is not None)
            if response.status_code not in REDIRECTS:
                return response
            _finish(response)
            location = response.headers.get("Location", "")
            following, echoed = redirect_target(address, location, key=key)
            self._refuse_redirect(following, chain=chain, key=key)
            # The key goes no further than the host it is meant for, and there only where the redirect repeats it.
            keyed = keyed and echoed and _origin(following) == _origin(address)
            chain.append(following)
            address = following

    def _get(self, address: str, *, headers: Mapping[str, str], key: Key | None) -> requests.Response:
        self._pace(urlsplit(address).netloc)
        failure: WwcError | _Interruption
        try:
            return self._opened.get(
                address if key is None else key.added_to(address),
                headers=dict(headers),
                stream=True,
                allow_redirects=False,
                timeout=self._timeouts,
                verify=True,
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            failure = self._failure(error, address=address)
        # Raised out here, so that the library's error, which names the address with the key, is no part of it.
        raise failure

    def _failure(self, error: Exception, *, address: str) -> WwcError | _Interruption:
        host = urlsplit(address).hostname
        causes = list(_causes(error))
        if any(isinstance(cause, requests.exceptions.ProxyError | urllib3.exceptions.ProxyError) for cause in causes):
            return _Interruption(f"the proxy on the way to {host} does not answer or refuses", is_unreachable=True)
        if any("CERTIFICATE_VERIFY_FAILED" in str(cause) or "doesn't match" in str(cause) for cause in causes):
            return InputError(
                f"{host}: its certificate cannot be trusted, and nothing was sent. Certificate checks are always on. "
                "Behind a firewall that opens secure connections, name its authority's file in REQUESTS_CA_BUNDLE"
            )
        unreachable = {
            urllib3.exceptions.NameResolutionError: "its name cannot be resolved",
            urllib3.exceptions.ConnectTimeoutError: "it does not answer",
            urllib3.exceptions.NewConnectionError: "the connection is refused or there is no way to it",
        }
        for kind, reason in unreachable.items():
            if any(isinstance(cause, kind) for cause in causes):
                return _Interruption(f"{host}: {reason}", is_unreachable=True)
        if isinstance(error, requests.Timeout):
            return _Interruption(f"{host} sent nothing for {self._timeouts[1]:g} seconds")
        if isinstance(error, requests.ConnectionError | urllib3.exceptions.HTTPError):
            return _Interruption(f"{host} broke the connection off")
        return InputError(
            f"{self._said(address)}: cannot be asked for ({type(error).__name__}). Look at the address, and at "
            "HTTPS_PROXY and REQUESTS_CA_BUNDLE in the environment"
        )

    def _pace(self, host: str) -> None:
        """Wait until this host may be asked again."""
        now = self._clock()
        wait = self._free_at.get(host, now) - now
        if wait > 0:
            self._sleep(wait)
        self._free_at[host] = max(now, now + wait) + self._interval

    def _backoff(self, tried: int) -> float:
        return min(LONGEST_BACKOFF, 2.0 ** (tried - 1)) * (0.5 + self._jitter() / 2)

    def _address(self, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise InputError(f"{self._said(url)}: only addresses with https are asked")
        if self._mirror is None:
            return url
        path = self._mirror.path.rstrip("/") + (parts.path or "/")
        return urlunsplit((self._mirror.scheme, self._mirror.netloc, path, parts.query, ""))

    def _refuse_redirect(self, following: str, *, chain: list[str], key: Key | None) -> None:
        first = self._said(chain[0])
        trail = " → ".join(one_line(self._said(address), longest=300) for address in [*chain, following])
        if not following:
            raise DataError(f"{first}: a redirect that names no address. Try again later")
        if key is not None and key.is_in(following):
            raise DataError(f"{first}: a redirect would carry the key in its address, and is not followed")
        parts = urlsplit(following)
        is_local = self._mirror is not None and self._mirror.scheme == "http" and _is_loopback(parts.hostname)
        is_secure = parts.scheme == "https" or (parts.scheme == "http" and is_local)
        if not is_secure or not parts.hostname or parts.username is not None:
            raise DataError(
                f"{first}: leads away from a secure connection and is not followed: {trail}. "
                "See on the publisher's page whether the file has moved"
            )
        if following in chain:
            raise DataError(f"{first}: the publisher's redirects go in a circle: {trail}. Try again later")
        if len(chain) > MOST_REDIRECTS:
            raise DataError(f"{first}: more than {MOST_REDIRECTS} redirects: {trail}. Try again later")

    # --- keys ----------------------------------------------------------------------------------------------

    def _key(self, remote: Remote) -> Key | None:
        if remote.key is None:
            return None
        parameter, variable = remote.key
        value = os.environ.get(variable, "").strip()
        if value:
            if not value.isprintable() or not value.isascii():
                raise InputError(f"the environment variable {variable} holds no key: it has characters no key has")
            key = Key(parameter, value)
            self._hiding.keys.add(key)
            return key
        if self._mirror is None:
            raise self._key_refused(remote, has_key=False)
        return None  # a mirror may serve without one

    def _is_key_error(self, response: requests.Response) -> bool:
        """Whether this is api.census.gov's answer to a missing or wrong key: a redirect to an HTML page."""
        if "X-DataWebAPI-KeyError" in response.headers:
            return True
        location = response.headers.get("Location", "")
        leads_to_page = re.search(r"/(?:missing|invalid)_key\.html(?:[?#]|$)", location) is not None
        return response.status_code in REDIRECTS and leads_to_page

    def _key_refused(self, remote: Remote, *, has_key: bool) -> InputError:
        where = KEY_SIGN_UP.get(urlsplit(remote.url).hostname or "")
        way_out = f" A key is free: {where}." if where else ""
        if remote.key is None:
            return InputError(f"{self._said(remote.url)}: the publisher wants a key, and none is foreseen.{way_out}")
        variable = remote.key[1]
        if not has_key:
            return InputError(
                f"{self._said(remote.url)}: the publisher answers with a key only, and the environment variable "
                f"{variable} holds none.{way_out} Then set {variable} and run the command again"
            )
        return InputError(
            f"{self._said(remote.url)}: the publisher does not accept the key in the environment variable {variable}. "
            f"A new key works once the link in the publisher's e-mail has been opened.{way_out}"
        )

    # --- what is wrong, in words ---------------------------------------------------------------------------

    def _refuse(self, response: requests.Response, *, remote: Remote) -> None:
        status = response.status_code
        said = f"{self._said(remote.url)}: {status}{_phrase(status)}"
        if status in TRY_AGAIN:
            wait = self._wait_asked(response)
            _finish(response)
            if wait > self._longest_wait:
                back = self._now().astimezone(UTC) + timedelta(seconds=wait)
                raise InputError(
                    f"{said}: the publisher asks to come back in {wait:,.0f} seconds, at {back:%Y-%m-%d %H:%M} UTC. "
                    "Run the command again then; what has been fetched is kept"
                )
            raise _Interruption(f"{status}{_phrase(status)}", wait=wait)
        excerpt = self._excerpt(_gathered_quietly(response))
        words = f", saying {excerpt}" if excerpt else ""
        if status in (401, 403):
            raise InputError(
                f"{said}{words}. {self._contact_words()}. If that is not why, the publisher may refuse this network "
                "for a while: try again later"
            )
        if status in (404, 410):
            year = f" for {remote.year}" if remote.year is not None else ""
            raise InputError(
                f"{said}: the publisher has no such file{words}. It may not be published{year} yet, or have moved; "
                "compare the address in catalog/sources.toml with the publisher's page"
            )
        if status == 204:
            raise DataError(f"{said}: the publisher has no such figures, where some were expected")
        raise InputError(f"{said}: the publisher does not give the file{words}")

    def _wait_asked(self, response: requests.Response) -> float:
        """Seconds that `Retry-After` asks for, as a number or an HTTP date; 0 where it asks for nothing legible."""
        text = response.headers.get("Retry-After", "").strip()
        if text.isdecimal() and text.isascii():
            return float(min(int(text[:9]), 10**8))
        moment = http_date(text)
        if moment is None:
            return 0.0
        # By the server's own clock where it gives the time: ours may be wrong.
        reference = http_date(response.headers.get("Date", "")) or self._now()
        return min(max(0.0, (moment - reference).total_seconds()), 1e8)

    def _contact_words(self) -> str:
        if self._contact:
            return f"The request named the contact {self._contact}"
        return (
            "The request named no contact, and some publishers (the Bureau of Labor Statistics for one) refuse such "
            f"requests: set {CONTACT_VARIABLE} to your e-mail address, or give it as an option; it goes into the "
            "User-Agent"
        )

    def _too_large(self, remote: Remote, *, came: str) -> DataError:
        return DataError(
            f"{self._said(remote.url)}: {came} would come, and {remote.largest:,} are the most that this file may "
            "have. If the publisher's file has grown, raise largest_mb in catalog/sources.toml"
        )

    def _not_what_was_asked(self, page: bytes, *, remote: Remote, fault: str) -> WwcError:
        title = page_title(page.decode("utf-8", errors="replace"))
        if remote.key is not None and re.fullmatch(r"(?i)(missing|invalid) key", title):
            return self._key_refused(remote, has_key=title.lower().startswith("invalid"))
        excerpt = self._excerpt(page)
        return DataError(
            f"{self._said(remote.url)}: {fault}, with a status that says success{': ' if excerpt else ''}{excerpt}. "
            "Nothing of it was kept; open the address in a browser to see what the publisher says"
        )

    def _excerpt(self, body: bytes) -> str:
        """A page's title or a text's first words in quotes, without keys and control characters, shortened."""
        text = self._hiding.hidden(body.decode("utf-8", errors="replace"))
        if "\0" in text or text[:400].count("\N{REPLACEMENT CHARACTER}") > 3:
            return ""
        shown = one_line(page_title(text) if is_page(body) else text)
        return f"“{shown}”" if shown else ""

    def _said(self, url: str) -> str:
        return self._hiding.hidden(url)

    def _holds_key(self, text: str) -> bool:
        return self._hiding.hidden(text) != text

    def _header(self, response: requests.Response, name: str) -> str:
        value = response.headers.get(name, "")
        return value if value.isprintable() and not self._holds_key(value) else ""

    def _offline(self, remote: Remote, *, reason: str, kept: int) -> OfflineError:
        began = f" {_what_is_kept(kept).capitalize()}." if kept else ""
        return OfflineError(
            f"{self._said(remote.url)}: cannot be reached: {reason}.{began} The shipped figures, and those fetched "
            "before, go on serving. Fetch again with a connection; a firewall may want HTTPS_PROXY or a mirror"
        )

    @property
    def _opened(self) -> requests.Session:
        if self._session is None:
            raise RuntimeError("a Client is used in a with statement")
        return self._session


class _Session(requests.Session):
    """A session that leaves redirects alone; requests would read their whole bodies, even if told not to follow."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


# --- bodies ------------------------------------------------------------------------------------------------


class _Interruption(Exception):  # noqa: N818 (no error yet: the next try may go well)
    """A try that failed, with why, and how long to wait at least."""

    def __init__(
        self, reason: str, *, wait: float = 0.0, is_unreachable: bool = False, is_immediate: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.wait = reason, wait
        self.is_unreachable, self.is_immediate = is_unreachable, is_immediate


def _read(response: requests.Response) -> bytes:
    """The next bytes as they come, still packed; empty at the end."""
    try:
        return response.raw.read1(_PIECE, decode_content=False) or b""
    except urllib3.exceptions.ReadTimeoutError:
        reason = "nothing more came for too long"
    except urllib3.exceptions.IncompleteRead as error:
        reason = f"the transfer ended after {error.partial:,} bytes" if error.partial else "the transfer ended early"
    except (urllib3.exceptions.HTTPError, OSError):
        reason = "the connection broke off"
    raise _Interruption(reason)


def _finish(response: requests.Response) -> None:
    """Read a short body to its end, so that the connection serves again; hang up on a long one."""
    _gathered_quietly(response)
    response.close()


def _gathered_quietly(response: requests.Response) -> bytes:
    """The first bytes of an error's page, or what there is of them."""
    found = b""
    try:
        while len(found) < _PAGE and (piece := _read(response)):
            found += piece
    except _Interruption:
        return found
    return found


def _gathered(pieces: Iterator[bytes], *, size: int) -> bytes:
    found = b""
    for piece in pieces:
        found += piece
        if len(found) >= size:
            break
    return found


def _chained(begun: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    if begun:
        yield begun
    yield from pieces


def _unpacked(unpack: Any, piece: bytes) -> Iterator[bytes]:
    """Bounded pieces, however much the packed bytes unfold to."""
    try:
        while piece:
            yield unpack.decompress(piece, 1 << 20)
            piece = unpack.unconsumed_tail
        return
    except zlib.error:
        pass
    raise _Interruption("the packed transfer is damaged")


def _what_is_kept(kept: int) -> str:
    if not kept:
        return "what has been fetched whole is kept"
    return f"what has come so far ({kept:,} bytes of this file) is kept, and the same command goes on from there"


# --- addresses and headers ---------------------------------------------------------------------------------


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error of requests and what it wraps, in whichever of three ways."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop()
        if not isinstance(cause, BaseException) or cause in seen:
            continue
        seen.append(cause)
        yield cause
        waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]


def _checked_mirror(mirror: str) -> SplitResult:
    parts = urlsplit(mirror)
    is_local = parts.scheme == "http" and _is_loopback(parts.hostname)
    is_plain = not parts.query and not parts.fragment
    if parts.username is not None:
        raise InputError("the mirror's address holds a name and password; put them into ~/.netrc instead")
    if not parts.hostname or not (parts.scheme == "https" or is_local) or not is_plain:
        raise InputError(
            f"mirror {mirror!r}: an address such as https://mirror.example.org is wanted (http on this machine only)"
        )
    return parts


def _checked_contact(contact: str) -> str:
    if not contact.isascii() or not contact.isprintable() or len(contact) > 200:
        raise InputError(f"{CONTACT_VARIABLE} {contact!r}: an e-mail address or the address of a page is wanted")
    return contact.replace("(", "").replace(")", "")


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def _origin(address: str) -> tuple[str, str | None, int]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)


def _number(text: str | None) -> int | None:
    return int(text[:18]) if text is not None and text.isascii() and text.isdecimal() else None


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""
