"""The command line: reads options, calls one function of the library, prints or writes what it returns.

Commands import what they need when they run, so that `--help` is quick. Errors leave one message, no trace.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from wwc_research import __version__
from wwc_research.atomic import write_text
from wwc_research.errors import EstimationError, Faults, InputError, ReportError, WwcError, listed

if TYPE_CHECKING:
    from wwc_research.catalog.editions import Edition

STDOUT = Path("-")
# Named here so that the help needs no heavy import; a test holds it against the registry.
ESTIMATOR_NAMES = (
    "imputation",
    "callaway_santanna",
    "two_way_fe",
    "event_study",
    "sun_abraham",
    "extended_twfe",
    "two_stage",
    "stacked",
    "goodman_bacon",
    "random_trends",
    "long_difference",
    "panel_matching",
    "synthetic_control",
    "synthetic_did",
    "poisson_fe",
    "dose_response",
    "switching",
)


class _Commands(TyperGroup):
    """Commands in the order of the work; an error of the user is one message and its exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except WwcError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_status) from None
        except OSError as error:
            reason = error.strerror or str(error)
            typer.echo(f"error: {error.filename}: cannot be read or written ({reason}). Check the path.", err=True)
            raise typer.Exit(InputError.exit_status) from None

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """A command of two words (`report standard`) goes before the command of its first word."""
        both = " ".join(args[:2])
        return super().resolve_command(ctx, [both, *args[2:]] if both in self.commands else args)


app = typer.Typer(
    name="wwc-research",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main() -> None:
    """Run the command line; the entry point of `wwc-research`."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wwc-research {__version__}")
        raise typer.Exit


@app.callback()
def wwc_research(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop."),
    ] = False,
) -> None:
    """Does What Works Cities Certification go with better lives for residents? Data, estimates, reports.

    \b
    wwc-research report             one page per outcome and an index, from the shipped figures
    wwc-research data list          what figures there are, and whose
    wwc-research panel describe     coverage of the city-year panel
    wwc-research estimate --help    an effect over time, from your own file
    wwc-research match --help       matched and weighted comparisons, from your own file
    """


data = typer.Typer(
    cls=_Commands, no_args_is_help=True, rich_markup_mode=None, help="The figures: list, check, compile."
)
panel_app = typer.Typer(cls=_Commands, no_args_is_help=True, rich_markup_mode=None, help="The city-year panel.")
app.add_typer(data, name="data")
app.add_typer(panel_app, name="panel")
standard_app = typer.Typer(cls=_Commands, no_args_is_help=True, rich_markup_mode=None, help="The Standard's own tests.")
app.add_typer(standard_app, name="standard")

Root = Annotated[
    Path | None,
    typer.Option("--root", metavar="DIR", help="Folder with data/, notebooks/ and reports/ (default: found upwards)."),
]


def _project_root(root: Path | None) -> Path:
    """The project's folder: as given, else the nearest one upwards, else the one this package was installed from."""
    candidates = [root] if root else [Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[1]]
    for folder in candidates:
        if (folder / "data" / "raw" / "manifest.toml").is_file():
            return folder.resolve()
    raise InputError(
        f"{candidates[0]}: no data/raw/manifest.toml here or above. Go to the project's folder or name it with --root."
    )


@data.command("list")
def data_list(root: Root = None) -> None:
    """The compiled tables: rows, years, vintage, publisher, licence.

    \b
    Example:
      wwc-research data list
    """
    from wwc_research.sources import raw

    for table in raw.list_tables(_project_root(root) / "data" / "raw"):
        typer.echo(f"{table.name}: {table.rows:,} rows, {table.years[0]}-{table.years[1]}, vintage {table.vintage}")
        typer.echo(f"    {table.publisher}. {table.series}. {table.licence}")


@data.command("check")
def data_check(root: Root = None) -> None:
    """Compare every compiled table with its hash, row count, keys and bounds; all faults at once.

    \b
    Example:
      wwc-research data check
    """
    from wwc_research.sources import raw

    tables = raw.check(_project_root(root) / "data" / "raw")
    typer.echo(f"{len(tables)} tables, {sum(table.rows for table in tables):,} rows: as the manifest says.")


@data.command("compile")
def data_compile(
    publishers: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the publishers' files.")],
    root: Root = None,
) -> None:
    """Read the publishers' files and write the compact tables of data/raw anew, with their manifest.

    \b
    Example:
      wwc-research data compile ../publishers
    """
    from wwc_research.sources import raw

    written = raw.compile_all(
        publishers, _project_root(root) / "data" / "raw", progress=lambda name: typer.echo(f"reading {name}", err=True)
    )
    typer.echo(f"{len(written)} tables written to data/raw.")


@panel_app.command("build")
def panel_build(
    root: Root = None,
    uncorrected: Annotated[
        bool,
        typer.Option("--uncorrected", help="Leave known errors of the sources in; writes panel_uncorrected.parquet."),
    ] = False,
) -> None:
    """Build the city-year panel from data/raw and write it with its data dictionary to data/processed.

    \b
    Example:
      wwc-research panel build
    """
    from wwc_research.panel.build import build_panel
    from wwc_research.panel.dictionary import data_dictionary
    from wwc_research.sources import raw

    folder = _project_root(root)
    raw.check(folder / "data" / "raw")
    panel = build_panel(folder / "data" / "raw", corrected=not uncorrected)
    name = "panel_uncorrected" if uncorrected else "panel"
    target = folder / "data" / "processed" / f"{name}.parquet"
    panel.write(target)
    write_text(target.with_name(f"{name}_dictionary.md"), data_dictionary(panel))
    rows = panel.frame
    typer.echo(f"{len(rows):,} rows, {rows['place_id'].nunique():,} places: data/processed/{name}.parquet")


@panel_app.command("describe")
def panel_describe(root: Root = None) -> None:
    """The data dictionary: every column with source, vintage, years, places and missingness.

    \b
    Example:
      wwc-research panel describe > dictionary.md
    """
    from wwc_research.panel.dictionary import data_dictionary
    from wwc_research.panel.panel import Panel

    typer.echo(data_dictionary(Panel.read(_project_root(root) / "data" / "processed" / "panel.parquet")), nl=False)


@standard_app.command("outcomes")
def standard_outcomes(
    city: Annotated[str, typer.Option(metavar="NAME", help='"Detroit, MI" or a 7-digit code.')],
    reading: Annotated[
        Literal["progress", "standard", "both"],
        typer.Option(help="Change over a window, level against a threshold, or both."),
    ] = "both",
    window: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="A B", help="First and last year (default: the city's own first and last figures)."),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Outcome or panel column, and a number or a candidate's name; repeat."),
    ] = None,
    std_error: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Standard error of a figure that has none (0: exact); repeat."),
    ] = None,
    level: Annotated[float, typer.Option(help="Of the one-sided test of progress.")] = 0.95,
    confidence: Annotated[float, typer.Option(help="Of the interval that must clear the threshold.")] = 0.95,
    at_least: Annotated[int, typer.Option(metavar="N", min=1, help="Outcomes that must be demonstrated.")] = 1,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write the rows there; - prints them.")
    ] = None,
    root: Root = None,
) -> None:
    """Whether a city demonstrates its outcomes, from the panel's own figures: yes, no, or it cannot be told.

    No threshold is built in: choose a number in the panel's unit (shares from 0 to 1) or a candidate of the catalog
    (who_2021, naaqs_2012, naaqs_2024 for pm25_mean_ug_m3).

    \b
    Examples:
      wwc-research standard outcomes --city "Detroit, MI"
      wwc-research standard outcomes --city "Detroit, MI" --reading standard --window 2016 2021 \\
          --threshold broadband=0.8 --threshold pm25_mean_ug_m3=naaqs_2012 --std-error pm25_mean_ug_m3=0.5
    """
    from wwc_research.panel.demonstrations import OutcomeRules, describe_outcomes, named_numbers, named_values
    from wwc_research.panel.panel import Panel
    from wwc_research.sources.places import Places

    folder = _project_root(root)
    panel_path = folder / "data" / "processed" / "panel.parquet"
    _refuse_unwritable(json_path, source=panel_path)
    rules = OutcomeRules(
        window=window,
        level=level,
        confidence=confidence,
        thresholds=named_values(threshold or (), option="--threshold"),
        std_errors=named_numbers(std_error or (), option="--std-error"),
    )
    found = describe_outcomes(
        Panel.read(panel_path),
        city=city,
        places=Places.load(folder / "data" / "raw"),
        reading=reading,
        at_least=at_least,
        rules=rules,
    )
    rows = json.loads(found.rows.to_json(orient="records"))
    answer = {"place_id": found.place_id, "city": found.city, "outcomes": rows}
    _hand_over(answer, summary="\n".join(found.lines), warnings=[], json_path=json_path)


@app.command()
def report(
    outcomes: Annotated[
        list[str] | None, typer.Argument(metavar="[OUTCOME]...", help="Outcomes of the plan (default: all).")
    ] = None,
    treatment: Annotated[
        str, typer.Option(metavar="NAME", help="certification or open_data_policy.")
    ] = "certification",
    run: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Folder under reports/ (default: the treatment, and the outcomes if named)."),
    ] = None,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Pages made at the same time.")] = 2,
    force: Annotated[bool, typer.Option("--force", help="Make every page, changed or not.")] = False,
    root: Root = None,
) -> None:
    """One HTML page per outcome, an index, evidence.csv and run.json, from the shipped figures.

    Every outcome of a family is estimated, since the correction for many questions needs them all; named outcomes only
    say which pages are made. Nothing is done twice: where nothing has changed since the last run, it says so. A page
    that cannot be made is marked on the index, the others are finished, and the exit status is 1.

    \b
    Examples:
      wwc-research report
      wwc-research report broadband air_quality
      wwc-research report --treatment open_data_policy
    """
    from tqdm import tqdm

    from wwc_research.report import batch

    wanted = batch.plan_batch(
        root=_project_root(root), treatment=treatment, outcomes=tuple(outcomes or ()), run=run, jobs=jobs
    )
    steps = 1 + len(wanted.assembled) + len(wanted.outcomes)
    with tqdm(total=steps, unit="step", leave=False, disable=None, bar_format="{l_bar}{bar}| {postfix}") as bar:

        def tick(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        finished = batch.run_batch(wanted, say=lambda line: tqdm.write(line), tick=tick, force=force)
    shown = finished.index.relative_to(wanted.root)
    if finished.nothing_done:
        typer.echo(f"Nothing has changed since the last run: {len(finished.unchanged)} pages are up to date. {shown}")
        return
    kept = f", {len(finished.unchanged)} already up to date" if finished.unchanged else ""
    typer.echo(f"{len(finished.made)} pages made{kept}. Open {shown}")
    if finished.failed:
        lines = "\n".join(f"  {name}: {reason}" for name, reason in finished.failed.items())
        raise ReportError(f"{len(finished.failed)} of {len(wanted.outcomes)} pages could not be made\n{lines}")


@app.command("report standard")
def report_standard(
    before: Annotated[
        str, typer.Option("--from", metavar="EDITION", help="v1, v2, v3-draft, v3, or a proposal FILE.toml.")
    ] = "v2",
    after: Annotated[str, typer.Option("--to", metavar="EDITION", help="Edition or proposal to compare with.")] = "v3",
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Assessments under --from, as for `score`: adds the impact on the cities."),
    ] = None,
    same: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A=B", help="Criterion A of --from is criterion B of --to; repeat. Replaces the matching."
        ),
    ] = None,
    unanswered: Annotated[
        Literal["not assessed", "not met", "met"],
        typer.Option(help="How criteria count that no city has answered: worst case (not assessed) or best (met)."),
    ] = "not assessed",
    tie_rule: Annotated[
        Literal["down", "up"] | None,
        typer.Option(help="Level of a total between two bands, in both (default: each edition's own rule)."),
    ] = None,
    outcomes: Annotated[
        Literal["panel"] | None,
        typer.Option(help="Judge outcome requirements from the panel's figures (default: not assessed)."),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="With --outcomes: a level to reach, as for `standard outcomes`."),
    ] = None,
    k: Annotated[int, typer.Option(metavar="N", min=3, help="Fewest cities that a number may count.")] = 10,
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", metavar="DIR", help="Where the page goes (default: reports/standard)."),
    ] = None,
    root: Root = None,
) -> None:
    """One page on what changes between two editions of the Standard, and what that would do to scored cities.

    The page names no city and every number on it counts at least N cities. Publish one page on one set of cities:
    two pages with other options can be compared. A proposal is a TOML file with based_on = "v3" and what differs.

    \b
    Examples:
      wwc-research report standard --from v2 --to v3
      wwc-research report standard --from v3 --to proposal.toml --scores assessments.xlsx
    """
    from wwc_research.report import standard_page

    old, new = (standard_page.chosen_edition(text) for text in (before, after))
    if (same or outcomes) and scores is None:
        raise InputError("--same and --outcomes are about the impact on cities: give --scores FILE, or leave them out.")
    found = None
    folder = _project_root(root)
    if scores is not None:
        judged: dict[str, dict[str, Any]] = {}
        for one in (old, new) if outcomes else ():
            if one.outcome_requirement is not None:
                for place, given in _outcome_standings(one, root=root, threshold=threshold).items():
                    judged.setdefault(place, {}).update(given)
        found = standard_page.impact_of_file(
            scores,
            before=old,
            after=new,
            raw_dir=folder / "data" / "raw",
            same=standard_page.paired_criteria(same) if same else None,
            unanswered=unanswered,
            tie_rule=tie_rule,
            outcomes=judged or None,
            k=k,
        )
    target = (output_dir or folder / "reports" / "standard") / standard_page.file_name(old, new)
    write_text(target, standard_page.standard_html(old, new, impact=found))
    typer.echo(f"Page made: {target}")


@app.command()
def estimate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or Parquet, one row a unit and period.")],
    unit: Annotated[str, typer.Option(metavar="COL", help="Column of unit codes (read as text).")],
    time: Annotated[str, typer.Option(metavar="COL", help="Column of periods (whole numbers).")],
    outcome: Annotated[str, typer.Option(metavar="COL", help="Column of the outcome.")],
    cohort: Annotated[
        str,
        typer.Option(metavar="COL", help="Column of the first exposed period; empty, 0 or inf = never."),
    ],
    estimator: Annotated[str, typer.Option(metavar="NAME", help=f"One of {', '.join(ESTIMATOR_NAMES)}.")],
    comparison: Annotated[
        Literal["never", "not_yet"],
        typer.Option(help="Compare with units never exposed, or also with those not yet exposed."),
    ] = "not_yet",
    aggregation: Annotated[
        Literal["simple", "group", "calendar", "dynamic"] | None,
        typer.Option(help="callaway_santanna: how effects by cohort and time become one (default: simple)."),
    ] = None,
    covariates: Annotated[str, typer.Option(metavar="A,B", help="Columns to adjust for.")] = "",
    adjustment: Annotated[
        Literal["dr", "reg", "ipw"] | None,
        typer.Option(help="callaway_santanna: doubly robust, regression or weighting (default: dr)."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="COL", help="Groups that share shocks (default: the unit).")
    ] = None,
    weights: Annotated[str | None, typer.Option(metavar="COL", help="Weights above zero.")] = None,
    effects: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="two_way_fe, event_study: columns, such as region, whose levels differ by time."
        ),
    ] = "",
    dose: Annotated[
        str | None, typer.Option(metavar="COL", help="dose_response, switching: how much of the treatment, 0 = none.")
    ] = None,
    at_risk: Annotated[
        str | None, typer.Option(metavar="COL", help="poisson_fe: what the count is out of, such as residents.")
    ] = None,
    std_error: Annotated[
        str | None, typer.Option(metavar="COL", help="Published standard error of the outcome: weights rows by it.")
    ] = None,
    latitude: Annotated[str | None, typer.Option(metavar="COL", help="Degrees north, for spatial errors.")] = None,
    longitude: Annotated[str | None, typer.Option(metavar="COL", help="Degrees east, for spatial errors.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Any other option of the estimator; may be repeated."),
    ] = None,
    anticipation: Annotated[
        int, typer.Option(metavar="N", min=0, help="Periods before exposure that may already respond.")
    ] = 0,
    always_treated: Annotated[
        Literal["refuse", "exclude"],
        typer.Option(help="Units treated from the first period on: an error, or left out and counted."),
    ] = "refuse",
    lots: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Assignments drawn by lot for a p-value and interval (default: 199 if few treated).",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="For what is drawn at random; kept in the output.")
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write the result there; - prints it.")
    ] = None,
) -> None:
    """An effect over time, from a CSV or Parquet file.

    Everything is checked before anything is computed. Rows without outcome or covariates are left out and
    counted in the result.

    Which inference to trust follows from the number of treated clusters, by a declared rule (settings.inference).
    With few of them the comparison with placebo assignments drawn by lot is added to OUT as by_lot; judged holds
    the p-value and interval to trust.

    Beyond the basics OUT has df, minimum_detectable_effect, pre_trend_p_value, judged and by_lot.

    \b
    Examples:
      wwc-research estimate counties.csv --unit county --time year --outcome log_employment \\
          --cohort first_raise --estimator callaway_santanna --comparison never --json result.json
      wwc-research estimate cities.parquet --unit place_id --time year --outcome broadband_pct \\
          --cohort cohort --estimator two_way_fe --cluster county --json -
    """
    from wwc_research import estimators
    from wwc_research.design.user_sample import sample_from_file
    from wwc_research.estimators.precision import precision_weighted
    from wwc_research.evidence import trust

    _refuse_unwritable(json_path, source=file)
    if estimator not in estimators.ESTIMATORS:
        allowed = ", ".join(sorted(estimators.ESTIMATORS))
        raise InputError(f"--estimator {estimator!r} does not exist. Allowed: {allowed}.")
    optional = {
        "dose": dose,
        "at_risk": at_risk,
        "outcome_std_error": std_error,
        "latitude": latitude,
        "longitude": longitude,
    }
    more = _estimator_options(option or [], estimator=estimator)
    sample = sample_from_file(
        file,
        unit=unit,
        time=time,
        outcome=outcome,
        cohort=cohort,
        covariates=_names(covariates),
        cluster=cluster,
        weights=weights,
        optional={name: column for name, column in optional.items() if column is not None},
        effects=_names(effects),
        comparison=comparison,
        anticipation=anticipation,
        always_treated=always_treated,
    )
    if std_error is not None:
        sample = precision_weighted(sample)
    given = {"aggregation": aggregation, "adjustment": adjustment, "seed": seed}
    known = {declared.name for declared in estimators.OPTIONS[estimator]}
    options = {name: given[name] for name in given if name in known} | more
    result = estimators.estimate(sample, estimator, **options)
    rule = trust.inference_allowed(sample)
    wanted = trust.lots_wanted(rule, rows=len(sample.frame), asked=lots)
    unused = [name for name in ("aggregation", "adjustment") if given[name] is not None and name not in known]
    notes = [f"--{name} has no meaning for {estimator} and was not used" for name in unused]
    if result.settings.get("covariates_not_used"):
        notes.append(f"{estimator} takes no covariates: --covariates was not used")
    drawn = None
    try:
        if wanted:
            drawn = trust.by_lot(
                sample,
                estimator=lambda dealt: estimators.estimate(dealt, estimator, **options),
                lots=wanted,
                seed=seed or 0,
            )
    except WwcError as error:
        if lots is not None:
            raise
        notes.append(f"lots could not be drawn: {error}")
    if rule.method != "cluster":
        notes.append(rule.why if drawn or rule.method == "cr2" else f"{rule.why} Ask for it with --lots.")
    reduced = None
    if rule.method == "cr2" and "cr2" in _allowed_errors(estimator) and "std_errors" not in more:
        reduced = estimators.estimate(sample, estimator, **options, std_errors="cr2")
    judged = trust.judged(result, rule=rule, drawn=drawn, reduced=reduced)
    answer = result.as_dict() | {"judged": judged, "by_lot": drawn}
    answer["settings"]["inference"] = trust.as_settings(rule)
    said = [*sample.settings.get("warnings", []), *answer["settings"].get("warnings", []), *notes]
    warnings = list(dict.fromkeys([*said, *_undefined_error(answer)]))
    answer["settings"] |= {"warnings": warnings, "seed": seed, "version": __version__}
    _hand_over(answer, summary=trust.summary(result, judged), warnings=warnings, json_path=json_path)


def _allowed_errors(estimator: str) -> tuple[str, ...]:
    """The kinds of errors an estimator offers under the option std_errors; none where it has no such option."""
    from wwc_research import estimators

    offered = [option.allowed for option in estimators.OPTIONS[estimator] if option.name == "std_errors"]
    return offered[0] if offered else ()


def _estimator_options(given: list[str], *, estimator: str) -> dict[str, str | int]:
    """`NAME=VALUE` texts as options, whole numbers as numbers; all that are no such text in one error."""
    from wwc_research import estimators

    declared = {option.name: option for option in estimators.OPTIONS[estimator]}
    faults = Faults(where="--option")
    values: dict[str, str | int] = {}
    for text in given:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not sign or not value or name not in declared:
            known = listed(declared, limit=20) or "no options"
            faults.add(f"{text!r} is not understood; write NAME=VALUE. {estimator} takes {known}.")
        else:
            is_whole = not declared[name].allowed and value.removeprefix("-").isdigit()
            values[name] = int(value) if is_whole else value
    faults.raise_if_any()
    return values


@app.command()
def match(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or Parquet, one row a unit.")],
    treatment: Annotated[str, typer.Option(metavar="COL", help="Column of 1 (treated) and 0.")],
    covariates: Annotated[
        str,
        typer.Option(metavar="A,B", help="Columns to match on: numbers, or text for categories."),
    ],
    method: Annotated[
        Literal[
            "nearest",
            "optimal",
            "full",
            "coarsened_exact",
            "exact",
            "subclassification",
            "cardinality",
            "entropy_balancing",
            "inverse_probability",
        ],
        typer.Option(help="How to match or weight."),
    ],
    outcome: Annotated[
        str | None, typer.Option(metavar="COL", help="Outcome, or its change; without it only balance.")
    ] = None,
    estimand: Annotated[
        Literal["att", "ate", "ato"] | None,
        typer.Option(help="Effect on the treated, on all, or on the overlap (default: att)."),
    ] = None,
    distance: Annotated[
        Literal["propensity", "mahalanobis"] | None,
        typer.Option(help="nearest, optimal, full: gap of propensity scores (default), or Mahalanobis distance."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Propensity model: logistic (default), gradient_boosting, or another."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="nearest: a control may serve several units.")] = False,
    ratio: Annotated[
        int | None,
        typer.Option(metavar="K", min=1, help="nearest, optimal, cardinality: controls a treated unit (default: 1)."),
    ] = None,
    max_controls: Annotated[
        int | None, typer.Option(metavar="K", min=1, help="full: most controls that may share one treated unit.")
    ] = None,
    caliper: Annotated[
        float | None,
        typer.Option(metavar="SD", help="Widest gap of propensity scores, in their standard deviations."),
    ] = None,
    exact: Annotated[str, typer.Option(metavar="A,B", help="Columns on which matches must agree.")] = "",
    order: Annotated[
        Literal["largest", "closest", "data", "random"] | None,
        typer.Option(help="nearest: who chooses first (default: largest score; data for mahalanobis)."),
    ] = None,
    ties: Annotated[
        Literal["one", "all"] | None,
        typer.Option(help="nearest: of equally near controls take one (default), or (--replace) all."),
    ] = None,
    covariance: Annotated[
        Literal["within_groups", "overall"] | None,
        typer.Option(help="Scale of the Mahalanobis distance (default: within_groups)."),
    ] = None,
    bins: Annotated[
        str | None,
        typer.Option(metavar="N", help="coarsened_exact: bins of every number, or sturges (default)."),
    ] = None,
    subclasses: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="subclassification: number of classes (default: 6).")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(metavar="SD", help="cardinality, entropy_balancing: largest difference of means allowed."),
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="cardinality: when to stop searching (default: 30).")
    ] = None,
    moments: Annotated[
        int | None, typer.Option(metavar="1|2", min=1, max=2, help="entropy_balancing: means, or squares as well.")
    ] = None,
    trim: Annotated[
        str | None,
        typer.Option(metavar="LOW,HIGH", help="inverse_probability: propensities kept; 0.1 is short for 0.1,0.9."),
    ] = None,
    stabilised: Annotated[
        bool, typer.Option("--stabilised", help="inverse_probability: weights that average near 1.")
    ] = False,
    adjust: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="Columns of an outcome regression on top (with --replace: of the bias adjustment)."
        ),
    ] = "",
    missing: Annotated[
        Literal["drop", "impute", "refuse"],
        typer.Option(help="Units with an empty covariate: left out and counted, filled and marked, or an error."),
    ] = "drop",
    std_errors: Annotated[
        Literal[
            "matched_set",
            "set",
            "cluster",
            "matched_set_and_cluster",
            "set_and_cluster",
            "hc0",
            "hc1",
            "abadie_imbens",
            "bootstrap",
        ]
        | None,
        typer.Option(help="Default: by set where there are many, else hc1; with --cluster also by cluster."),
    ] = None,
    draws: Annotated[
        int | None, typer.Option(metavar="N", help="--std-errors bootstrap: number of draws (default: 999).")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(metavar="COL", help="Names each row once (default: its row number).")
    ] = None,
    cluster: Annotated[str | None, typer.Option(metavar="COL", help="Groups that share shocks.")] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="For --order random, --model and --std-errors bootstrap.")
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write the result there; - prints it.")
    ] = None,
) -> None:
    """Treated units and those they are fairly compared with: balance, and the effect.

    \b
    Methods:
      nearest              for every treated unit its nearest controls, one after another
      optimal              pairs (or --ratio controls) with the least total distance
      full                 sets that use everybody who has a like
      coarsened_exact      strata equal once numbers are cut into --bins
      exact                strata equal in every covariate
      subclassification    classes of like propensity
      cardinality          the largest sample balanced within --tolerance
      entropy_balancing    control weights that make the means equal
      inverse_probability  weights by the propensity of the own treatment

    Beyond the basics OUT has ci_low, ci_high, p_value, effective_n_treated, effective_n_control, n_ties,
    distance_balance, balance_verdict, pairs, sets and weights. What a method does not have is null. A comparison
    whose balance_verdict is failed cannot carry a finding.

    \b
    Examples:
      wwc-research match people.csv --treatment treat --covariates age,educ,race --outcome earnings \\
          --method nearest --json result.json
      wwc-research match cities.csv --unit place_id --treatment certified --covariates income,population \\
          --outcome broadband_change --method nearest --caliper 0.2 --exact region --cluster county --json -
      wwc-research match cities.csv --treatment certified --covariates income,population --outcome change \\
          --method entropy_balancing --moments 2 --adjust income --json -
      wwc-research match cities.csv --treatment certified --covariates income,population --outcome change \\
          --method inverse_probability --estimand ato --std-errors bootstrap --seed 1 --json -
    """
    from wwc_research.evidence.matched_comparison import Choices, compare_units, note_unfit_choices
    from wwc_research.panel.files import covariate_names, read_units

    _refuse_unwritable(json_path, source=file)
    exact_columns, adjust_columns, names = _names(exact), _names(adjust), _names(covariates)
    faults = Faults(where=f"match --method {method}")
    choices = Choices(
        estimand=None if estimand is None else estimand.upper(),
        distance=distance,
        replace=replace or None,
        ratio=ratio,
        caliper=caliper,
        exact=[f"exact: {column}" for column in exact_columns] or None,
        order=order,
        ties=ties,
        covariance=covariance,
        model=model,
        bins=_bins(bins, faults=faults),
        subclasses=subclasses,
        tolerance=tolerance,
        time_limit=time_limit,
        moments=moments,
        trim=_bounds(trim, faults=faults),
        stabilised=stabilised or None,
        max_controls=max_controls,
        std_errors=std_errors,
        adjust=tuple(covariate_names(adjust_columns)),
        draws=draws,
        seed=seed,
    )
    note_unfit_choices(
        faults, choices, method=method, has_outcome=outcome is not None, has_cluster=cluster is not None, prefix="--"
    )
    faults.raise_if_any()
    checked = read_units(
        file,
        treatment=treatment,
        covariates=[*names, *(column for column in adjust_columns if column not in names)],
        outcome=outcome,
        exact=exact_columns,
        unit=unit,
        cluster=cluster,
        keep_gaps=missing != "drop",
    )
    try:
        compared = compare_units(
            checked.frame,
            covariates=covariate_names(names),
            method=method,
            outcome=None if outcome is None else "outcome",
            cluster=None if cluster is None else "cluster",
            missing=missing,
            choices=choices,
        )
    except EstimationError as refusal:
        raise EstimationError(f"{file.name}: {refusal}") from refusal
    answer = compared.as_dict()
    left_out = [dict(zip(("reason", "rows", "units"), item, strict=True)) for item in checked.exclusions]
    answer["exclusions"] = left_out + answer["exclusions"]
    said = [*checked.warnings, *compared.warnings, *([] if outcome is None else _undefined_error(answer))]
    answer["settings"] = (
        dict(checked.settings)
        | answer["settings"]
        | {"covariates": names, "exact": exact_columns, "adjust": adjust_columns}
        | {"seed": seed, "version": __version__, "warnings": said}
    )
    joined = "compared" if answer["sets"] is None and answer["pairs"] is None else "matched"
    summary = (
        f"{method}: {answer['n_matched_treated']:,} of {answer['n_treated']:,} treated units {joined} with "
        f"{answer['n_matched_control']:,} of {answer['n_control']:,} controls"
    )
    if answer["estimate"] is not None:
        error = answer["std_error"]
        spoken = "undefined" if error is None else f"{error:.4g}"
        summary += f"; {answer['estimand']} {answer['estimate']:.6g} (standard error {spoken})"
    warnings = [*said, compared.balance_warning] if compared.balance_warning else said
    _hand_over(answer, summary=summary, warnings=warnings, json_path=json_path)


@app.command()
def peers(
    city: Annotated[str, typer.Argument(metavar="CITY", help='"Syracuse, NY" or a 7-digit code.')],
    count: Annotated[int, typer.Option(metavar="N", min=1, help="How many peers.")] = 10,
    outcome: Annotated[
        str | None, typer.Option(metavar="NAME", help="Also alike in this outcome: its planned covariates and years.")
    ] = None,
    year: Annotated[
        list[int] | None,
        typer.Option(metavar="Y", help="Measure in this year (repeat for a mean); before the city's certification."),
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write the peers there; - prints them.")
    ] = None,
    root: Root = None,
) -> None:
    """The cities most like a city before certification: figures, differences in words, who is certified.

    Cities are compared on population, income, composition and unemployment, or on what the plan declares for an
    outcome and its own level. Figures come before exposure; years that do not are refused.

    \b
    Examples:
      wwc-research peers "Syracuse, NY"
      wwc-research peers "Syracuse, NY" --count 5 --outcome broadband --json peers.json
    """
    from wwc_research.design.peers import find_peers
    from wwc_research.panel.panel import Panel
    from wwc_research.report import peers as wording
    from wwc_research.sources.places import NoMatch, Places

    folder = _project_root(root)
    panel_path = folder / "data" / "processed" / "panel.parquet"
    _refuse_unwritable(json_path, source=panel_path)
    panel = Panel.read(panel_path)
    match_ = Places.load(folder / "data" / "raw").resolve(city)
    if isinstance(match_, NoMatch):
        raise InputError(match_.sentence())
    found = find_peers(panel, place_id=match_.place_id, count=count, outcome=outcome, years=year)
    _hand_over(wording.as_answer(found), summary="\n".join(wording.lines(found)), warnings=[], json_path=json_path)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or Excel (.xlsx), long or wide.")],
    edition: Annotated[str, typer.Option(metavar="NAME", help="Edition of the Standard: v1, v2, v3-draft or v3.")],
    json_path: Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write the scores as JSON.")] = None,
    csv_path: Annotated[Path | None, typer.Option("--csv", metavar="OUT", help="Write the scores as CSV.")] = None,
    tie_rule: Annotated[
        Literal["down", "up"] | None,
        typer.Option(help="Level of a total between two bands (default: the edition's own rule)."),
    ] = None,
    outcomes: Annotated[
        Literal["panel"] | None,
        typer.Option(help="Judge the edition's outcome requirement from the panel's figures (default: not assessed)."),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="With --outcomes: a level to reach, as for `standard outcomes`."),
    ] = None,
    root: Root = None,
) -> None:
    """Points, level and decision with its reasons for every assessment in a file. OUT IS CONFIDENTIAL.

    OUT names cities and their scores, also those that were not certified: only its owner may read the file, and it
    must not be passed on or published. What is printed here are counts, never names or scores.

    FILE is long (place, assessed_on, criterion, response) or wide (place, assessed_on and a column a criterion).
    A place is "Name, ST", a code, or abroad "Name, Country". Responses: met / not met / not assessed, yes / no,
    1 / 0 / blank. All faults of a file are listed at once, by row, and nothing is written.

    Points and evidence may stand beside the responses or points in their place: long, columns points and evidence;
    wide, columns such as "DM1 points" and "DM1 evidence". Points go from 0 to what the criterion is worth; fewer than
    all count, but the criterion is not met, so as a core criterion or prerequisite it still stops. Evidence: yes / no /
    blank; a response whose evidence was not accepted does not count.

    v3 also takes an outcome of the city's own choice as staff judge it: demonstrated / not demonstrated / cannot tell,
    wide in a column own_outcome, long in a row whose criterion is own_outcome. It joins those of --outcomes panel.

    \b
    Examples:
      wwc-research score assessments.xlsx --edition v3 --json scores.json
      wwc-research score assessments.csv --edition v2 --tie-rule up --csv scores.csv
      wwc-research score assessments.csv --edition v3 --outcomes panel --threshold broadband=0.8 --json scores.json
    """
    from wwc_research.catalog import editions
    from wwc_research.sources.places import Places
    from wwc_research.standard import assessment_files, scoring

    outs = {"json": json_path, "csv": csv_path}
    if json_path is None and csv_path is None:
        raise InputError("say where the scores go: --json OUT or --csv OUT. They are confidential and not printed.")
    if json_path is not None and csv_path is not None and json_path.resolve() == csv_path.resolve():
        raise InputError(f"--json and --csv are both {json_path}. Give two names.")
    for layout, path in outs.items():
        if path == STDOUT:
            raise InputError(f"--{layout} -: scores are confidential and not printed. Give the name of a file.")
        try:
            _refuse_unwritable(path, source=file)
        except InputError as error:
            raise InputError(str(error).replace("--json", f"--{layout}", 1)) from error
    chosen = editions.edition(edition)
    responses = assessment_files.read_assessments(
        file, edition=chosen, places=Places.load(_project_root(root) / "data" / "raw")
    )
    standings = _outcome_standings(chosen, root=root, threshold=threshold) if outcomes else None
    scores = scoring.score(responses, chosen, tie_rule=tie_rule, outcomes=standings)
    for layout, path in outs.items():
        if path is not None:
            assessment_files.write_scores(scores, path, layout="json" if layout == "json" else "csv")
    counts = ", ".join(f"{number:,} {level}" for level, number in scores.level_counts().items())
    typer.echo(f"{len(scores):,} assessment{'s' * (len(scores) != 1)} scored with {chosen.name}: {counts}")


def _bins(text: str | None, *, faults: Faults) -> int | str | None:
    """`sturges` as it is, a whole number as a number; anything else is noted."""
    if text is None or text == "sturges":
        return text
    if text.isdecimal():
        return int(text)
    faults.add(f"--bins {text!r} is not understood; write sturges, or a whole number of bins (0 = values as they are).")
    return None


def _bounds(text: str | None, *, faults: Faults) -> tuple[float, float] | None:
    """`LOW,HIGH` as two numbers; one number cuts as much at both ends; anything else is noted."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    low, high = (numbers[0], 1 - numbers[0]) if len(numbers) == 1 else numbers if len(numbers) == 2 else (1.0, 0.0)
    if 0 <= low < high <= 1:
        return low, high
    faults.add(
        f"--trim {text!r} is not understood; write the lowest and the highest propensity allowed, such as 0.1,0.9, "
        "or one number below 0.5."
    )
    return None


def _undefined_error(answer: Mapping[str, Any]) -> list[str]:
    """A warning where there is an estimate and no standard error."""
    if answer["std_error"] is not None:
        return []
    reasons = "too few clusters or matched sets, or an outcome without noise on its scale"
    return [f"the standard error is undefined, so there is no interval and no p-value: {reasons}"]


def _outcome_standings(edition: Edition, *, root: Path | None, threshold: list[str] | None) -> dict[str, Any]:
    """Verdicts on the outcomes an edition asks for, from the panel; an edition that asks for none is refused."""
    from wwc_research.panel.demonstrations import OutcomeRules, named_values, standings
    from wwc_research.panel.panel import Panel

    if edition.outcome_requirement is None:
        raise InputError(f"--outcomes: edition {edition.name} asks for no outcome. Leave the option out.")
    panel = Panel.read(_project_root(root) / "data" / "processed" / "panel.parquet")
    rules = OutcomeRules(thresholds=named_values(threshold or (), option="--threshold"))
    return dict(standings(panel, edition.outcome_requirement, rules=rules))


def _names(text: str) -> list[str]:
    """Column names separated by commas; names that hold a comma stand in double quotes."""
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), []) if name.strip()]


def _refuse_unwritable(path: Path | None, *, source: Path) -> None:
    """Refuse an output that could not be written, before any work is done."""
    if path is None or path == STDOUT:
        return
    try:
        target = path.resolve()
    except (OSError, RuntimeError) as error:  # a link that leads back to itself
        raise InputError(f"--json {path}: leads nowhere ({error}). Give another name.") from error
    if target.is_dir():
        raise InputError(f"--json {path}: is a folder. Give the name of a file.")
    if target.exists() and not target.is_file():
        raise InputError(f"--json {path}: is a device or pipe, no file. Give the name of a file, or - to print it.")
    if not target.parent.is_dir():
        raise InputError(f"--json {path}: the folder {target.parent} does not exist. Make it first.")
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(f"--json {path}: is the input itself. Give another name.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"--json {path}: the folder {target.parent} may not be written to. Give another place.")
    if target.exists() and not os.access(target, os.W_OK):
        raise InputError(f"--json {path}: the file is protected against writing. Give another name.")


def _plain(value: Any) -> Any:
    """The value with Python's own types throughout; undefined and infinite numbers become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not (float("-inf") < value < float("inf")):
        return None
    return value


def _hand_over(answer: Mapping[str, Any], *, summary: str, warnings: list[str], json_path: Path | None) -> None:
    """Write the answer, whole or not at all; then print the warnings and the summary."""
    text = json.dumps(_plain(answer), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if json_path is not None and json_path != STDOUT:
        _write_whole(text, path=json_path)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    if json_path == STDOUT:
        typer.echo(text, nl=False)
    else:
        typer.echo(summary)


def _write_whole(text: str, *, path: Path) -> None:
    """Write the file, whole or not at all."""
    try:
        write_text(path, text)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"--json {path}: cannot be written ({reason}). Give another place.") from error


if __name__ == "__main__":
    main()
