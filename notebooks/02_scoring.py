# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 Scoring: from answers to a decision, and from practice to an outcome
#
# How a city's answers become points, a level and a decision with its reasons; what of it may be published; what another
# edition would change; and whether the whole way from answers to an effect finds a truth that was planted.
#
# **All assessments here are simulated.** Real ones are confidential and are not shipped; their cities must never appear
# in a notebook. Simulated cities are called `Simulated city 001` and have ids such as `XX-sim-0001`, which no place
# has. Only the section on Detroit shows real figures, and these are published ones.

# %% tags=["parameters"]
# Seed of the simulated worlds, and how many of each kind; folder with the compiled tables, relative to this notebook; a
# real city.
seed = 20261122
worlds_each = 25
raw_dir = "../data/raw"
city = "Detroit, MI"

# %%
from pathlib import Path

import numpy as np
import pandas as pd

from wwc_research import inference
from wwc_research.catalog.editions import edition
from wwc_research.estimators import linear
from wwc_research.panel.build import build_panel
from wwc_research.panel.demonstrations import describe_outcomes
from wwc_research.sources.places import Places
from wwc_research.standard.comparison import compare
from wwc_research.standard.impact import impact
from wwc_research.standard.proposals import variant
from wwc_research.standard.responses import Responses
from wwc_research.standard.scoring import score
from wwc_research.standard.simulation import score_world
from wwc_research.standard.summaries import public_summary

pd.set_option("display.max_columns", 20, "display.width", 160, "display.max_colwidth", 110, "display.max_rows", 80)
folder = Path(raw_dir)
v3 = edition("v3")

# %% [markdown]
# ## An edition is data
# Criteria, prerequisites, core criteria, bands and the outcome requirement stand in `catalog/standards/v3.toml`, each
# with its source. The notes say what no public source tells.

# %%
pd.Series(
    {
        "criteria": v3.criteria_total,
        "core criteria": ", ".join(item.id for item in v3.criteria.values() if item.is_core),
        "levels": ", ".join(f"{level.name} {level.minimum_pct:g}-{level.maximum_pct:g} %" for level in v3.levels),
        "outcomes": ", ".join(v3.outcome_requirement.outcomes),
        "or the city's own choice": v3.outcome_requirement.has_own_choice,
    }
)

# %% [markdown]
# ## One assessment (simulated)
# Answers are met (1), not met (0) or not assessed (-1). Points and evidence may stand beside them: a response whose
# evidence was not accepted does not count. Staff may hand in their judgement of the outcome of the city's own choice.
# A file of real assessments is read by `assessment_files.read_assessments`, or scored by `wwc-research score`.

# %%
answers = dict.fromkeys(v3.criteria, 1) | {f"EVAL{number}": 0 for number in range(1, 5)} | {"OD7": 0, "RDC1": -1}
evidence = dict.fromkeys(v3.criteria, -1) | {"DM1": 0, "DM2": 1}
one = Responses(
    [[answers[id_] for id_ in v3.criteria]],
    evidence=[[evidence[id_] for id_ in v3.criteria]],
    own_outcome=["demonstrated"],
    place_ids=["XX-sim-0001"],
    names=["Simulated city 001"],
    assessed_on=["2024-05-01"],
    criteria=list(v3.criteria),
    edition=v3,
)
print(one)

# %% [markdown]
# ## Its decision, with the reasons (simulated)
# High enough for platinum by points, and yet not certified: a core criterion lacks accepted evidence.

# %%
decision = score(one, v3).confidential_records()[0]
print(f"SIMULATED: {decision['name']}, {decision['points']} of {decision['criteria_total']} points")
print(f"level {decision['level']}; by points alone {decision['level_by_points']}")
print(*(f"- {reason}" for reason in decision["reasons"]), sep="\n")

# %%
pd.Series(decision["practice_shares"], name="share of the practice (simulated)").round(2).to_frame().T

# %% [markdown]
# ## Many assessments (simulated)
# A world whose cities improve over the years. Each criterion is met by an item-response model: cities differ in quality
# and in strength by practice area, criteria in difficulty. The outcome follows the share of the Standard that a city
# meets by an effect that we plant, so we know what a study should find.

# %%
world = score_world(v3, generator=np.random.default_rng(seed), n_cities=300, practice_effect=5.0)
print(world)
print(world.responses)
world.truth

# %% [markdown]
# ## What may be published of them (simulated)
# Counts and means over at least ten cities; small cells are hidden, and others with them where a subtraction would give
# them away. Nothing in it names a city.

# %%
scores = score(world.responses, v3)
population = world.cities.set_index("place_id")["population"].to_dict()
summary = public_summary(scores, population=population)
print(f"SIMULATED: {summary.cities_count} invented cities under {summary.edition}, each by its last assessment")
summary.levels.assign(is_simulated=True)

# %%
summary.size_bands.assign(is_simulated=True)

# %%
summary.practices.assign(is_simulated=True)

# %% [markdown]
# ## Outcomes of a real city, from published figures
# The only real figures of this notebook. Progress is demonstrated where it is more than sampling error explains. No
# threshold of the programme is public, so none is built in.

# %%
panel = build_panel(folder)
found = describe_outcomes(panel, city=city, places=Places.load(folder), reading="progress")
print(*found.lines, sep="\n")

# %% [markdown]
# ## What changed from Version 2.0 to Version 3.0
# By the editions' own files. A code alone says nothing: `OD2` of one edition and of the other are different criteria.

# %%
changes = pd.DataFrame(compare(edition("v2"), v3).as_rows())
changes.groupby("change", sort=False).size().rename("rows").reset_index()

# %%
changes.loc[changes["change"].isin(["level", "rule"]), ["change", "item", "before", "after"]]

# %% [markdown]
# ## What a proposal would do to the cities that were assessed (simulated)
# A proposal is an edition with changes: here two more core criteria and a higher start of silver. Every number counts
# ten cities or more; those that are not told apart stand as one.

# %%
proposal = variant(
    v3,
    {
        "name": "v3-stricter",
        "criteria": {"DM4": {"is_core": True}, "EVAL1": {"is_core": True}},
        "levels": [
            {"name": "silver", "minimum_pct": 60, "maximum_pct": 67},
            {"name": "gold", "minimum_pct": 68, "maximum_pct": 84},
            {"name": "platinum", "minimum_pct": 85, "maximum_pct": 100},
        ],
    },
)
effects = impact(world.responses, before=v3, after=proposal, population=population, region={})
rows = pd.DataFrame(effects.as_rows()).assign(is_simulated=effects.is_simulated)
withheld = [f"{table} ({group})" for group, table in effects.withheld]
print(f"Simulated cities: {effects.is_simulated}. Withheld, for it would tell of fewer than {effects.k}: {withheld}")
shown = ["group", "table", "change", "item", "cities_count", "is_simulated"]
rows.loc[rows["table"].isin(["group", "change", "transition", "decided_by"]), shown]

# %% [markdown]
# ## From practice to an outcome: is the planted link found? (simulated)
# Four kinds of world. In the first nothing is planted; in the others the whole Standard met is worth 5 units of the
# outcome against none of it.
#
# 1. *no link*, and nothing that confounds;
# 2. *no confounding*: practice has nothing to do with a city's size and income;
# 3. *richer cities are better*: they start higher, in practice and in the outcome;
# 4. *richer cities also grow faster*, in both.
#
# And four ways to look, all with the practice share that `score` gives in the years of assessment, and errors clustered
# by city.


# %%
def dose_rows(made):
    """One row a simulated assessment: outcome, share by `score`, and what is known of the city."""
    scored = score(made.responses, v3)
    seen = pd.DataFrame(
        {"place_id": scored.place_id, "year": scored.assessed_on.astype(int), "practice_share": scored.share}
    )
    rows = seen.merge(made.outcomes, on=["place_id", "year"], validate="one_to_one")
    known = made.cities.assign(
        log_population=np.log(made.cities["population"]), log_income=np.log(made.cities["income_usd"])
    )
    rows = rows.merge(known[["place_id", "log_population", "log_income"]], on="place_id", validate="many_to_one")
    since = rows["year"] - rows["year"].min()
    return rows.assign(
        population_trend=since * rows["log_population"].sub(rows["log_population"].mean()),
        income_trend=since * rows["log_income"].sub(rows["log_income"].mean()),
    )


def slope(rows, *, others=(), is_within):
    """Effect of the whole Standard with its interval: least squares with year effects, perhaps city effects."""
    place, year = (pd.factorize(rows[name])[0] for name in ("place_id", "year"))
    fitted = linear.fit(
        rows["outcome"].to_numpy(),
        rows[["practice_share", *others]].to_numpy(),
        errors=linear.ErrorModel(kind="cluster", clusters=(place,)),
        effects=(place, year) if is_within else (year,),
    )
    estimate, std_error = fitted.coefficients[0], float(np.sqrt(fitted.covariance[0, 0]))
    low, high = inference.confidence_interval(estimate, std_error, fitted.df)
    return {"estimate": estimate, "ci_low": low, "ci_high": high}


kinds = {
    "no link": {"practice_effect": 0.0},
    "no confounding": {},
    "richer cities are better": {"confounding": 0.6},
    "richer cities also grow faster": {"confounding": 0.6, "wealth_trend": 0.25},
}
looks = {
    "across cities": {"is_within": False},
    "across, size and income held": {"others": ["log_population", "log_income"], "is_within": False},
    "each city with itself": {"is_within": True},
    "with itself, trends by size and income": {"others": ["population_trend", "income_trend"], "is_within": True},
}
table = []
for position, (kind, given) in enumerate(kinds.items()):
    for number in range(worlds_each):
        made = score_world(v3, generator=np.random.default_rng([seed, position, number]), n_cities=150, **given)
        data, truth = dose_rows(made), made.truth.practice_effect
        table += [
            {"simulated world": kind, "look": look, "planted": truth, **slope(data, **options)}
            for look, options in looks.items()
        ]
doses = pd.DataFrame(table)
doses["interval holds it"] = doses["planted"].between(doses["ci_low"], doses["ci_high"])
doses.groupby(["simulated world", "look"], sort=False).agg(
    worlds=("estimate", "size"),
    planted=("planted", "first"),
    mean_estimate=("estimate", "mean"),
    error_of_mean=("estimate", "sem"),
    interval_holds_it=("interval holds it", "mean"),
).round(2)

# %% [markdown]
# **How to read it.** About 95 of 100 intervals should hold what was planted; with a few dozen worlds that share is
# itself rough, and the mean is off by about its own error. Raise `worlds_each` to see both settle: with 400 worlds of
# 300 cities and no confounding, 0.94 to 0.96 of the intervals held it. Where nothing was planted nothing is found, and
# without confounding every look finds the planted effect. Where richer cities are better, comparing cities with each
# other credits practice with wealth; holding size and income, or comparing each city with itself, mends it. Where
# richer cities also grow faster, comparing a city with itself is not enough: their growth is credited to practice, and
# only trends by size and income take it out.
#
# Here we know what confounds. With real cities nobody does, which is why every page of this project says what else a
# link could be due to.
