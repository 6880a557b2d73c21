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
# # 01 Data: what figures there are, and whose
#
# For a researcher who wants to know what stands behind a page before trusting it. Every figure comes from a table in
# `data/raw`, written by the project's own readers from publishers' files; `manifest.toml` names publisher, series,
# vintage, licence and hash of each. Nothing here needs the network.

# %% tags=["parameters"]
# Folder with manifest.toml and the compiled tables, relative to this notebook.
raw_dir = "../data/raw"

# %%
from pathlib import Path

import pandas as pd

from wwc_research.panel.build import build_panel
from wwc_research.sources import corrections, raw
from wwc_research.standard import timing

pd.set_option("display.max_columns", 20, "display.width", 160, "display.max_colwidth", 60)
folder = Path(raw_dir)

# %% [markdown]
# ## The tables
# `check` compares every file with its hash, row count and keys, and refuses a table that was altered.

# %%
tables = pd.DataFrame(
    [{"table": t.name, "rows": t.rows, "vintage": t.vintage, "publisher": t.publisher} for t in raw.check(folder)]
)
tables

# %% [markdown]
# ## One long frame
# All figures of places, counties and microdata areas have one shape. A missing value has a flag that says why; a weak
# one keeps its value and is flagged.

# %%
observations = raw.read_observations(folder, corrected=False)
observations.groupby(["source", "variable", "vintage"]).agg(
    figures=("value", "count"), first=("year", "min"), last=("year", "max"), with_error=("std_error", "count")
)

# %% [markdown]
# ## A trap that fakes an effect: EPA re-scored its history
# After May 2024 EPA recalculated every past Air Quality Index. Good days fell everywhere on paper. The share of days
# above 100 did not move, which is why it is the only index measure that is used across the two vintages.

# %%
air = observations.loc[(observations["source"] == "epa_aqi") & observations["year"].between(2019, 2022)]
air.pivot_table(index="year", columns=["variable", "vintage"], values="value", aggfunc="mean").drop(
    columns="aqi_days_count"
).round(4)

# %% [markdown]
# ## A known error, declared and not hidden
# One faulty ozone monitor makes Maricopa County, the county of six certified cities, absurd in 2020 and 2021. The entry
# in `corrections.toml` removes the figures, and fails by itself once EPA has repaired them.

# %%
_, removed = corrections.apply_corrections(observations, corrections.load_corrections())
removed[["place_id", "year", "variable", "vintage", "value_was", "flag"]]

# %% [markdown]
# ## Who was certified, and when
# An award of July or later counts from the next year. Five US cities are known to be certified but not since when.

# %%
events = raw.read_table(folder, "certification/events")
us = timing.cohorts(events.loc[events["country"] == "USA"])
us.groupby(["edition", "cohort"], dropna=False).size().rename("cities").reset_index()

# %% [markdown]
# ## Without corrections
# The panel can be built as published, to see what a correction changes.

# %%
published, corrected = build_panel(folder, corrected=False), build_panel(folder)
phoenix = {"place_id": "0455000"}
pd.DataFrame(
    {
        name: panel.frame.query("place_id == @phoenix['place_id'] and 2018 <= year <= 2023").set_index("year")[
            "aqi_over_100_share"
        ]
        for name, panel in (("as published", published), ("corrected", corrected))
    }
).round(3)
