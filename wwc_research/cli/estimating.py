"""The command `estimate`: an effect over time, from a user's own file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wwc_research import __version__
from wwc_research.cli import panel_columns as columns
from wwc_research.cli.app import app, hand_over, names_in, refuse_unwritable, undefined_error
from wwc_research.errors import Faults, InputError, WwcError, listed

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


@app.command()
def estimate(
    file: columns.PanelFile,
    unit: columns.Unit,
    time: columns.Time,
    outcome: columns.OutcomeColumn,
    cohort: columns.Cohort,
    estimator: Annotated[str, typer.Option(metavar="NAME", help=f"One of {', '.join(ESTIMATOR_NAMES)}.")],
    comparison: columns.Compared = "not_yet",
    aggregation: Annotated[
        Literal["simple", "group", "calendar", "dynamic"] | None,
        typer.Option(help="callaway_santanna: how effects by cohort and time become one (default: simple)."),
    ] = None,
    covariates: columns.Covariates = "",
    adjustment: Annotated[
        Literal["dr", "reg", "ipw"] | None,
        typer.Option(help="callaway_santanna: doubly robust, regression or weighting (default: dr)."),
    ] = None,
    cluster: columns.Cluster = None,
    weights: columns.Weights = None,
    effects: columns.Effects = "",
    dose: Annotated[
        str | None, typer.Option(metavar="COL", help="dose_response, switching: how much of the treatment, 0 = none.")
    ] = None,
    at_risk: columns.AtRisk = None,
    std_error: columns.StdError = None,
    latitude: Annotated[str | None, typer.Option(metavar="COL", help="Degrees north, for spatial errors.")] = None,
    longitude: Annotated[str | None, typer.Option(metavar="COL", help="Degrees east, for spatial errors.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Any other option of the estimator; may be repeated."),
    ] = None,
    anticipation: columns.Anticipation = 0,
    always_treated: columns.AlwaysTreated = "refuse",
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

    refuse_unwritable(json_path, source=file)
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
        covariates=names_in(covariates),
        cluster=cluster,
        weights=weights,
        optional={name: column for name, column in optional.items() if column is not None},
        effects=names_in(effects),
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
    warnings = list(dict.fromkeys([*said, *undefined_error(answer)]))
    answer["settings"] |= {"warnings": warnings, "seed": seed, "version": __version__}
    hand_over(answer, summary=trust.summary(result, judged), warnings=warnings, json_path=json_path)


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
