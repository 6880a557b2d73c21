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
# # 05 Bring your own: your outcome, your treatment, the same tests
#
# Two files of your own go in, a page like those of `make report` comes out: the same design, the same calibration on
# placebo cities, the same verdict by the same rule.
#
# - **Outcome file**: one row a city and year: `place_id` (seven digits) or a name such as `Detroit, MI`, `year`,
#   `value`, and `std_error` where the figure comes from a survey.
# - **Treatment file**: one row a city that ever began: `place_id` or name, `started_on` (2018-09-30, 2018-09 or 2018;
#   empty where it began and nobody knows when). Cities that are not in the file never began.
#
# As it stands the notebook makes **simulated** files with a planted effect, so that you can see what a page looks like
# when the truth is known. Put the paths of your files into the next cell to replace them.

# %% tags=["parameters"]
# Your files (CSV or Parquet); left empty, simulated ones are made. Smallest effect that would matter, in your unit.
outcome_file = ""
treatment_file = ""
place_column = "place_id"
smallest_effect_of_interest = 1.0
# Draws: 9999, 1000, 60 and 499 for an answer, as in the plan that ships; fewer, as here, only to try it out.
lots = 199
placebo_draws = 40
slow_draws = 2
specification_draws = 49
# The project's folder, and processes at the same time.
root_dir = ".."
jobs = 2

# %%
import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from wwc_research import catalog
from wwc_research.panel import own_data
from wwc_research.panel.build import build_panel
from wwc_research.report import own_question
from wwc_research.sources import synthetic

root = Path(root_dir).resolve()
panel = build_panel(root / "data" / "raw")

# %% [markdown]
# ## The files
# Without files of yours: 300 cities, 40 of which begin between 2015 and 2017, with a planted effect of 3 from then on.

# %%
simulated = not (outcome_file and treatment_file)
if simulated:
    outcome_file, treatment_file = synthetic.own_files(
        panel.frame, folder=root / "data" / "processed" / "own", effect=3.0, generator=np.random.default_rng(20261122)
    )
figures = own_data.read_outcome(outcome_file, panel=panel, place=place_column)
starts = own_data.read_treatment(treatment_file, panel=panel, place=place_column)
pd.concat({"outcome": figures.frame.head(), "treatment": starts.frame.head()}, axis="columns")

# %% [markdown]
# ## What they are
# The page says these words; nothing is computed from them but the unit. `family` groups questions that are corrected
# together: one question is a family of one.

# %%
outcome = catalog.Outcome(
    name="own_outcome",
    title="Library visits (simulated)" if simulated else "Your outcome",
    better="more library visits",
    topic="library visits",
    noun="the number of library visits per 100 residents",
    variable="own_outcome",
    direction="higher",
    scale=1.0,
    unit="visits per 100 residents",
    decimals=1,
    natural_factor=1.0,
    natural_unit="visits per 100 residents",
    city_factor=2000.0,
    city_thing="library visits",
    city_base="in a city of 200,000 people",
    geography="place",
    source=figures.file,
    is_award_condition=False,
    has_survey_error=False,
    description="Simulated figures with a planted effect of 3."
    if simulated
    else "What it measures, and who published it.",
    coverage="the cities of the file",
)
treatment = catalog.Treatment(
    name="own_treatment",
    title="Late opening of libraries (simulated)" if simulated else "Your treatment",
    noun="late opening of libraries",
    exposed="{units} with late opening",
    exposed_city="city with late opening",
    unexposed="{units} without",
    table=starts.file,
    kind="dated",
    description="Simulated starts." if simulated else "What it is, and where the dates come from.",
)

# %% [markdown]
# ## The plan
# Write it before you look at results. Everything that is not named here is as in the plan that ships.

# %%
text = own_data.plan_text(
    outcome=outcome,
    treatment=treatment,
    analysis={
        "family": "own",
        "minimum_effect_of_interest": smallest_effect_of_interest,
        "window": [2012, 2022],
        "unit": "place",
        "baseline_years": [2013, 2014],
        "post_years": [2018, 2019],
        "covariates": ["log_population", "unemployment_share"],
    },
    title="My own question",
    written=datetime.date.today().isoformat(),
    rules={
        "verdict": {"draws": lots},
        "calibration": {"draws": placebo_draws, "slow_draws": slow_draws},
        "specifications": {"draws": specification_draws},
    },
)
plan = catalog.read_plan(text)
print(text[-1500:])

# %% [markdown]
# ## The answer
# Finished parts are kept: a second run of this cell takes seconds.

# %%
panel = own_data.with_outcome(panel, outcome=outcome, table=figures)
panel = own_data.with_treatment(panel, treatment=treatment, table=starts)
evidence = own_question.answer_own(panel, plan=plan, root=root, jobs=jobs, say=lambda part: None)
pd.DataFrame(
    [(check.asks, check.result, check.sentence) for check in evidence.checks], columns=["Question", "Answer", "Why"]
)

# %%
print(evidence.verdict.code, evidence.verdict.because)
{key: evidence.judged[key] for key in ("estimate", "ci_low", "ci_high", "p_value", "minimum_detectable_effect")}

# %% [markdown]
# ## The page
# For staff: `audience="staff"`; in Spanish or Portuguese: `code="es"`, `code="pt"` (your own titles stay as they are).

# %%
path = own_question.write_own_page(evidence, root=root)
print(f"Open {path.relative_to(root)}")
