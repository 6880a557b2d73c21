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
# # 03 Panel: from figures to a comparison
#
# The city-year panel holds every US place of 30,000 people or more, 2006-2024. This notebook shows what it covers, how
# a design chooses who is compared with whom, and what is lost on the way, with reasons.

# %% tags=["parameters"]
# Folder with manifest.toml and the compiled tables, relative to this notebook; the outcome to look at.
raw_dir = "../data/raw"
outcome = "broadband"

# %%
from pathlib import Path

import pandas as pd

from wwc_research import catalog
from wwc_research.design.baseline import long_difference
from wwc_research.design.design import Design
from wwc_research.panel.build import build_panel

pd.set_option("display.max_columns", 20, "display.width", 160, "display.max_colwidth", 70)
panel = build_panel(Path(raw_dir))
panel.coverage()[["name", "geography", "source", "first_year", "last_year", "n_places", "missing_share"]]

# %% [markdown]
# ## County figures reach a city by population weights
# Most cities lie in one county and have exactly its figure. Kansas City lies in four. The covered share says how much
# of the city's population the figure stands for.

# %%
columns = ["name", "year", "unemployment_share", "unemployment_share_main_county", "unemployment_share_covered_share"]
panel.frame.loc[panel.frame["place_id"].isin(["2938000", "2404000"]) & (panel.frame["year"] == 2019), columns]

# %% [markdown]
# ## The design
# Who counts as exposed, against whom, in which years: an entry of `plan.toml`.

# %%
analysis = catalog.plan().analyses[outcome]
analysis

# %%
design = Design(outcome=catalog.outcome(outcome), treatment=catalog.treatment("certification"), analysis=analysis)
sample = design.sample(panel)
print(f"{len(sample.frame):,} rows, {sample.n_units:,} units, {sample.n_treated} exposed, {sample.n_clusters} counties")
pd.DataFrame([exclusion.as_dict() for exclusion in sample.exclusions])

# %% [markdown]
# ## Cohorts
# Few exposed cities in each cohort: the reason why standard errors need care.

# %%
sample.frame.drop_duplicates("unit").groupby("cohort", dropna=False).size().rename("units").reset_index()

# %% [markdown]
# ## Before exposure
# For the matched comparison each unit has one row: what it was like in the baseline years, and how the outcome changed
# since. Nothing in it is measured after exposure except the change itself.

# %%
baseline = long_difference(panel, design=design)
baseline.frame.groupby("treated")[["outcome", *baseline.columns]].mean().T
