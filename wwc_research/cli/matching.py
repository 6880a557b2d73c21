"""The commands `match` and `peers`: who is compared with whom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wwc_research import __version__
from wwc_research.cli.app import Root, app, hand_over, names_in, project_root, refuse_unwritable, undefined_error
from wwc_research.errors import EstimationError, Faults, InputError


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

    refuse_unwritable(json_path, source=file)
    exact_columns, adjust_columns, names = names_in(exact), names_in(adjust), names_in(covariates)
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
    said = [*checked.warnings, *compared.warnings, *([] if outcome is None else undefined_error(answer))]
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
    hand_over(answer, summary=summary, warnings=warnings, json_path=json_path)


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

    folder = project_root(root)
    panel_path = folder / "data" / "processed" / "panel.parquet"
    refuse_unwritable(json_path, source=panel_path)
    panel = Panel.read(panel_path)
    match_ = Places.load(folder / "data" / "raw").resolve(city)
    if isinstance(match_, NoMatch):
        raise InputError(match_.sentence())
    found = find_peers(panel, place_id=match_.place_id, count=count, outcome=outcome, years=year)
    hand_over(wording.as_answer(found), summary="\n".join(wording.lines(found)), warnings=[], json_path=json_path)


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
