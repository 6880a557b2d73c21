"""The plan as it was locked before results were seen, and in what a run differs from it.

In: a Plan, the tables under `data/raw`, a lock file. Out: `PlanLock`, and a `PlanStatus` that lists every deviation.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

from wwc_research import __version__, catalog
from wwc_research.atomic import write_text
from wwc_research.catalog import Plan
from wwc_research.errors import DataError, Faults, listed
from wwc_research.messages import Message, counted, message
from wwc_research.panel.figures import digest_of_fetched, fetched_tables
from wwc_research.sources.raw import list_tables
from wwc_research.sources.tables import MANIFEST

LOCK_FILE: Final = "plan.lock.toml"
FORMAT: Final = 1
State = Literal["follows", "deviates", "not_locked"]
# A plan may be called something else, or dated anew, without asking anything else.
_WORDING: Final = ("title", "written")
_HEAD: Final = (
    "# The plan as it was locked, written by 'wwc-research plan lock'. Never edited by hand: content_sha256 would no",
    "# longer fit, and the lock would be refused.",
)
_ABSENT: Final = object()
_NO_VINTAGE: Final = message("none")


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedTable:
    """One table under `data/raw` as it was: its vintage and the SHA-256 of its bytes on disk."""

    vintage: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierLock:
    """What is kept of a lock that a later one replaced, and of why it was made."""

    date: str
    plan_sha256: str
    data_sha256: str
    version: str
    reason: str
    content_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLock:
    """The plan, the data and the version of the package on the day of the lock.

    Attributes
    ----------
    date, reason
        Day of the lock (ISO 8601); why an earlier lock was replaced, empty for the first.
    title, prior_knowledge, plan_sha256, plan_text
        Of the plan; the text as it stood.
    data_sha256
        Over the manifest and all tables as they are on disk, as `run.json` of a report gives it.
    panel_sha256
        Hash of the panel, as pages print it; empty where it was not given.
    version
        Of this package.
    tables
        By name.
    history
        Earlier locks, the first one first.
    """

    date: str
    reason: str
    title: str
    prior_knowledge: str
    plan_sha256: str
    data_sha256: str
    panel_sha256: str
    version: str
    plan_text: str
    tables: Mapping[str, LockedTable]
    history: tuple[EarlierLock, ...] = ()

    @property
    def content_sha256(self) -> str:
        """SHA-256 over everything in the lock, by which an edited one is told."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, `content_sha256` among them."""
        return {
            **asdict(self),
            "history": [asdict(item) for item in self.history],
            "content_sha256": self.content_sha256,
        }

    def _as_earlier(self) -> EarlierLock:
        return EarlierLock(**{item.name: getattr(self, item.name) for item in fields(EarlierLock)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run asks for: treatment, outcomes, and settings changed by hand.

    `edits` maps a setting, by its path in the plan such as `analyses.broadband.window`, to the value used instead.
    """

    treatment: str
    outcomes: tuple[str, ...]
    edits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStatus:
    """Whether a run follows the locked plan, and every respect in which it does not.

    Attributes
    ----------
    state
        `follows`, `deviates` or `not_locked`.
    date
        Day of the lock; empty without one.
    deviations
        Each in plain words: settings, data tables, treatment and outcomes.
    notes
        What is different and changes nothing that was asked: wording, the version, fewer outcomes, earlier locks.
    prior_knowledge
        What the plan says had been seen of results when it was locked.
    """

    state: State
    date: str
    deviations: tuple[str, ...]
    notes: tuple[str, ...]
    prior_knowledge: str
    plan_sha256: str
    locked_sha256: str

    @property
    def sentence(self) -> Message:
        """One sentence for a page, followed by what the locked plan says had been known before."""
        if not self.prior_knowledge:
            return self._standing
        known = message(
            'The plan itself says what was known by then: "{prior_knowledge}"', prior_knowledge=self.prior_knowledge
        )
        return message("{parts:sentences}", parts=[self._standing, known])

    @property
    def _standing(self) -> Message:
        """How the run stands to the plan."""
        if self.state == "not_locked":
            return message(
                "The plan of this run was never locked, so nothing shows that it was made before results were seen."
            )
        if self.state == "follows":
            return message("This run follows the plan that was locked on {date}.", date=self.date)
        return counted(
            "This run deviates in {n} respect from the plan that was locked on {date}.",
            "This run deviates in {n} respects from the plan that was locked on {date}.",
            n=len(self.deviations),
            date=self.date,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the sentence among them."""
        values = asdict(self)
        return {**values, "deviations": [*self.deviations], "notes": [*self.notes], "sentence": self.sentence}


def lock(plan: Plan, *, raw: Path, today: date, reason: str = "", panel_sha256: str = "") -> PlanLock:
    """The lock of `plan` with the tables under `raw` as they are on disk.

    Parameters
    ----------
    raw
        The folder `data/raw`.
    today
        Day of the lock.
    reason
        Why an earlier lock is replaced; `write` asks for it where there is one.
    panel_sha256
        Hash of the panel that pages print (`Panel.data_hash`), to trace it by.

    Raises
    ------
    DataError
        Where a table is absent or not what the manifest says: such data are not worth a lock.
    """
    faults = Faults(str(raw), kind=DataError)
    found = _tables(raw, plan)
    for table in list_tables(raw):
        if table.name not in found:
            faults.add(f"{table.path} is absent; restore it or compile again, then lock")
        elif found[table.name].sha256 != table.sha256:
            faults.add(f"{table.path} is not what the manifest says; restore it or compile again, then lock")
    faults.raise_if_any()
    return PlanLock(
        date=today.isoformat(),
        reason=reason.strip(),
        title=plan.title,
        prior_knowledge=plan.prior_knowledge,
        plan_sha256=plan.sha256,
        data_sha256=_data_sha256(raw, plan),
        panel_sha256=panel_sha256,
        version=__version__,
        plan_text=plan.text,
        tables=found,
    )


def write(locked: PlanLock, path: Path) -> PlanLock:
    """The lock as it then stands at `path`, written whole or not at all.

    An earlier lock there is kept in the history of the new one. Where plan, data and version are still those of the
    earlier lock, that one stays as it is and is returned.

    Raises
    ------
    InputError
        Where there is an earlier lock, and the new one gives no reason or is of an earlier day.
    DataError
        Where the earlier lock cannot be read.
    """
    if path.exists():
        earlier = read(path)
        same = ("plan_sha256", "tables", "version", "panel_sha256")
        if all(getattr(earlier, name) == getattr(locked, name) for name in same):
            return earlier
        faults = Faults(str(path))
        if not locked.reason:
            faults.add(
                f"a plan was locked here on {earlier.date}; to replace it, give the reason (--reason TEXT), which is "
                "kept with it"
            )
        if locked.date < earlier.date:
            faults.add(f"the lock of {locked.date} would be older than the one it replaces ({earlier.date})")
        faults.raise_if_any()
        locked = replace(locked, history=(*earlier.history, earlier._as_earlier()))
    write_text(path, _as_toml(locked))
    return locked


def read(path: Path) -> PlanLock:
    """The lock at `path`.

    Raises
    ------
    DataError
        Where it is absent, cannot be read, or was edited: its content is not what its own hash says.
    """
    way_out = (
        "Bring it back from version control. If that cannot be done, remove it and run 'wwc-research plan lock': the "
        "plan then counts as locked from that day on"
    )
    if not path.exists():
        raise DataError(f"{path}: no plan has been locked; run 'wwc-research plan lock'")
    try:
        values = tomllib.loads(path.read_bytes().decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: the lock cannot be read ({error}). {way_out}") from error
    if values.get("format") != FORMAT:
        raise DataError(
            f"{path}: the lock has format {values.get('format')!r}; this version reads {FORMAT}. {way_out}, or use the "
            "version that wrote it"
        )
    claimed = values.get("content_sha256")
    try:
        kept = {key: value for key, value in values.items() if key not in ("format", "content_sha256")}
        tables = {name: LockedTable(**entry) for name, entry in kept.pop("tables", {}).items()}
        history = tuple(EarlierLock(**entry) for entry in kept.pop("history", []))
        found = PlanLock(**kept, tables=tables, history=history)
        actual = found.content_sha256
    except (TypeError, AttributeError) as error:
        raise DataError(f"{path}: the lock is damaged ({error}). {way_out}") from error
    if claimed != actual or hashlib.sha256(found.plan_text.encode()).hexdigest() != found.plan_sha256:
        raise DataError(
            f"{path}: the lock was edited after it was written; its content is not what its hash says. {way_out}"
        )
    return found


def check(plan: Plan, *, lock: PlanLock | None, raw: Path, run: Run) -> PlanStatus:
    """Whether a run of `plan` follows the lock, with every deviation in plain words.

    The plans are compared as TOML, field by field: comments, and the order of fields and of lists, are wording.
    Tables are compared by the hashes of the files on disk.

    Parameters
    ----------
    lock
        From `read`; None where no plan was locked.
    raw
        The folder `data/raw` of the run.
    run
        What the run asks for.
    """
    if lock is None:
        return PlanStatus(
            state="not_locked",
            date="",
            deviations=(),
            notes=(message("Lock the plan with 'wwc-research plan lock' before results are looked at."),),
            prior_knowledge=plan.prior_knowledge,
            plan_sha256=plan.sha256,
            locked_sha256="",
        )
    locked, now = tomllib.loads(lock.plan_text), tomllib.loads(plan.text)
    settings = tuple(_changed_settings(locked, now))
    deviations = (*settings, *_unplanned(locked, run), *_edited(locked, run.edits), *_changed_tables(lock, raw, plan))
    return PlanStatus(
        state="deviates" if deviations else "follows",
        date=lock.date,
        deviations=deviations,
        notes=tuple(_notes(lock, plan, locked=locked, now=now, run=run, wording_only=not settings)),
        prior_knowledge=lock.prior_knowledge,
        plan_sha256=plan.sha256,
        locked_sha256=lock.plan_sha256,
    )


def _changed_settings(locked: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Message]:
    """Every field of the plan that is not as it was locked, but for wording."""
    of_substance = [{k: v for k, v in plan.items() if k not in (*_WORDING, "analyses")} for plan in (locked, now)]
    for plan in of_substance:
        if isinstance(plan.get("figures"), dict):
            # the only lists whose order matters: a vintage comes before another
            plan["figures"] = {column: ", then ".join(named) for column, named in plan["figures"].items()}
    yield from _changed(*of_substance)
    was, is_now = locked.get("analyses", {}), now.get("analyses", {})
    for name in dict.fromkeys([*was, *is_now]):
        if name not in was or name not in is_now:
            yield from _changed(was, is_now, path="analyses", only=name)
            continue
        # a field written out with the value that the defaults give it anyway asks nothing new
        keys = dict.fromkeys([*was[name], *is_now[name]])
        filled = [
            {key: entry.get(key, plan.get("defaults", {}).get(key, _ABSENT)) for key in keys}
            for entry, plan in ((was[name], locked), (is_now[name], now))
        ]
        yield from _changed(
            *({k: v for k, v in entry.items() if v is not _ABSENT} for entry in filled), path=f"analyses.{name}"
        )


def _changed(
    locked: Mapping[str, Any], now: Mapping[str, Any], *, path: str = "", only: str | None = None
) -> Iterator[Message]:
    for key in dict.fromkeys([*locked, *now]) if only is None else (only,):
        name = f"{path}.{key}" if path else key
        was, is_now = locked.get(key, _ABSENT), now.get(key, _ABSENT)
        if isinstance(was, dict) and isinstance(is_now, dict):
            yield from _changed(was, is_now, path=name)
        elif was is _ABSENT:
            yield message("{name}: not in the locked plan, now {now}", name=name, now=_shown(is_now))
        elif is_now is _ABSENT:
            yield message("{name}: locked {locked}, now removed", name=name, locked=_shown(was))
        elif _comparable(was) != _comparable(is_now):
            yield message("{name}: locked {locked}, now {now}", name=name, locked=_shown(was), now=_shown(is_now))


def _comparable(value: Any) -> Any:
    """A value with lists in a fixed order, since no field of a plan depends on it; true is not 1."""
    if isinstance(value, list):
        return sorted((_comparable(item) for item in value), key=repr)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ("number", float(value))
    return (type(value).__name__, value)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_shown(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False, default=str)


def _unplanned(locked: Mapping[str, Any], run: Run) -> Iterator[Message]:
    """Treatment and outcomes of the run that the locked plan does not name."""
    planned = [locked.get("treatment"), *locked.get("treatments", [])]
    if run.treatment not in planned:
        yield message(
            "treatment {name}: not in the locked plan, which has {planned}",
            name=run.treatment,
            planned=listed(dict.fromkeys(planned), limit=40),
        )
    analyses = locked.get("analyses", {})
    for name in run.outcomes:
        if name not in analyses:
            yield message(
                "outcome {name}: not in the locked plan, which has {planned}",
                name=name,
                planned=listed(analyses, limit=40),
            )


def _edited(locked: Mapping[str, Any], edits: Mapping[str, Any]) -> Iterator[Message]:
    """Settings of the run that were changed by hand."""
    for path, value in edits.items():
        planned: Any = locked
        for key in path.split("."):
            planned = planned.get(key, _ABSENT) if isinstance(planned, dict) else _ABSENT
        if planned is _ABSENT and path.count(".") == 2 and path.startswith("analyses."):
            planned = locked.get("defaults", {}).get(path.rpartition(".")[2], _ABSENT)
        plain = json.loads(json.dumps(value, default=str))
        if planned is _ABSENT:
            yield message("{name}: not in the locked plan, {now} in this run", name=path, now=_shown(plain))
        elif _comparable(planned) != _comparable(plain):
            yield message(
                "{name}: locked {locked}, {now} in this run", name=path, locked=_shown(planned), now=_shown(plain)
            )


def _changed_tables(lock: PlanLock, raw: Path, plan: Plan) -> Iterator[Message]:
    found = _tables(raw, plan)
    for name in sorted({*lock.tables, *found}):
        was, is_now = lock.tables.get(name), found.get(name)
        if was is None and is_now is not None:
            yield message("data table {table}: added since the lock", table=_named(name, is_now))
        elif was is not None and is_now is None:
            yield message("data table {table}: removed since the lock", table=_named(name, was))
        elif was is not None and is_now is not None and was.sha256 != is_now.sha256:
            table = _named(name, is_now)
            if was.vintage != is_now.vintage:
                table = message(
                    "{name} (vintage {vintage}, then {earlier})",
                    name=name,
                    vintage=is_now.vintage or _NO_VINTAGE,
                    earlier=was.vintage or _NO_VINTAGE,
                )
            yield message("data table {table}: changed since the lock", table=table)


def _named(name: str, table: LockedTable) -> str:
    """The name of a table, with its vintage where it has one."""
    return message("{name} (vintage {vintage})", name=name, vintage=table.vintage) if table.vintage else name


def _notes(
    lock: PlanLock, plan: Plan, *, locked: Mapping[str, Any], now: Mapping[str, Any], run: Run, wording_only: bool
) -> Iterator[Message]:
    if plan.sha256 != lock.plan_sha256 and wording_only:
        yield message("The file of the plan is not the locked one, byte by byte; it differs in wording only.")
    for key in _WORDING:
        if locked.get(key) != now.get(key):
            yield message(
                "{name}: locked {locked}, now {now} (wording only)",
                name=key,
                locked=_shown(locked.get(key)),
                now=_shown(now.get(key)),
            )
    known = catalog.outcomes()
    absent = [name for name in locked.get("analyses", {}) if name not in run.outcomes]
    if absent:
        titles = [known[name].title if name in known else name for name in absent]
        yield message("Outcomes of the locked plan that this run does not show: {titles:list}.", titles=titles)
    if lock.version != __version__:
        yield message(
            "The plan was locked with version {locked} of this package; this run used {now}.",
            locked=lock.version,
            now=__version__,
        )
    if lock.history:
        yield counted(
            "This lock replaced an earlier one ({dates:list}). The reason given: {reason}",
            "This lock replaced {n} earlier ones ({dates:list}). The reason given: {reason}",
            n=len(lock.history),
            dates=[item.date for item in lock.history],
            reason=lock.reason,
        )


def _tables(raw: Path, plan: Plan) -> dict[str, LockedTable]:
    """The tables of the manifest and of the fetched vintages that the plan names, with the hash of what is on disk."""
    named = {table.name: (table, raw / table.path) for table in list_tables(raw)}
    return {
        name: LockedTable(vintage=table.vintage, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        for name, (table, path) in {**named, **fetched_tables(plan.figures, raw_dir=raw)}.items()
        if path.is_file()
    }


def _data_sha256(raw: Path, plan: Plan) -> str:
    """Names and bytes of the manifest, of every table and of what the plan names of fetched ones, in one hash.

    The one that a report's run.json has.
    """
    digest = hashlib.sha256()
    for path in sorted([raw / MANIFEST, *raw.rglob("*.csv")]):
        digest.update(path.relative_to(raw).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    if plan.figures:
        digest = hashlib.sha256(digest.hexdigest().encode())
        digest_of_fetched(digest, figures=plan.figures, raw_dir=raw)
    return digest.hexdigest()


def _as_toml(locked: PlanLock) -> str:
    values = locked.as_dict()
    tables, history, text = values.pop("tables"), values.pop("history"), values.pop("plan_text")
    lines = [*_HEAD, f"format = {FORMAT}", *(f"{key} = {_text(value)}" for key, value in values.items())]
    lines += [f"plan_text = {_block(text)}", "", "[tables]"]
    for name, entry in tables.items():
        lines.append(f"{_text(name)} = {{vintage = {_text(entry['vintage'])}, sha256 = {_text(entry['sha256'])}}}")
    for entry in history:
        lines += ["", "[[history]]", *(f"{key} = {_text(value)}" for key, value in entry.items())]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A TOML basic string: JSON's, but for the delete character, which TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _block(text: str) -> str:
    """The text as it reads, where TOML can hold it so."""
    readable = "'''" not in text and not text.endswith("'") and all(char >= " " or char in "\n\t" for char in text)
    return f"'''\n{text}'''" if readable and "\x7f" not in text else _text(text)
