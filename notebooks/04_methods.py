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
# # 04 Methods: the same truth, seen by different estimators
#
# Before an estimator is let near real data it has to recover an effect that was planted. **Everything in the first half
# of this notebook is simulated.** The second half puts the same estimators to one real outcome.

# %% tags=["parameters"]
# Seed of the simulated world; folder with the compiled tables; the real outcome.
seed = 20261122
raw_dir = "../data/raw"
outcome = "broadband"

# %%
from pathlib import Path

import numpy as np
import pandas as pd

from wwc_research import catalog
from wwc_research.design.design import Design
from wwc_research.design.sample import Sample
from wwc_research.estimators import estimate, method_card
from wwc_research.evidence.randomisation import draw_lots
from wwc_research.evidence.trust import inference_allowed
from wwc_research.panel.build import build_panel
from wwc_research.report import plots
from wwc_research.sources.synthetic import staggered_world

pd.set_option("display.max_columns", 20, "display.width", 160)

# %% [markdown]
# ## A simulated world with a known truth
# Cities adopt in three waves, effects differ by cohort and grow with time, few cities never adopt: the case in which
# two-way fixed effects use cities already treated as if they were untreated.

# %%
world = staggered_world(
    n_units=300,
    times=range(2010, 2020),
    cohorts={2012: 90, 2014: 90, 2016: 90},
    generator=np.random.default_rng(seed),
)
print(world.description)
world.frame.head()

# %%
simulated = Sample(
    frame=world.frame[["unit", "time", "outcome", "cohort"]].assign(cluster=world.frame["county"], weight=1.0),
    comparison="not_yet",
)
NAMES = ("imputation", "callaway_santanna", "sun_abraham", "extended_twfe", "two_stage", "two_way_fe", "event_study")
found = {name: estimate(simulated, name) for name in NAMES}
pd.DataFrame(
    {
        name: {"estimate": item.estimate, "std_error": item.std_error, "truth (simple average)": world.simple_att}
        for name, item in found.items()
    }
).T.round(3)

# %% [markdown]
# Two-way fixed effects are far off, and Goodman-Bacon's decomposition shows why: much of their weight lies on
# comparisons of cities exposed later with cities exposed already, whose effects are still growing.

# %%
pd.DataFrame(estimate(simulated, "goodman_bacon").settings["shares"]).T.round(3)

# %% [markdown]
# The event study's mean counts every distance from exposure once, so its target differs from the simple average. The
# event study of the simulated world, by Callaway and Sant'Anna:

# %%
terms = [term.as_dict() for term in found["callaway_santanna"].event_study]
axes = plots.event_study(terms, scale=1, unit="simulated outcome")
axes.set_title("Simulated data")
# %% [markdown]
# ## A real outcome
# The same estimators on real figures. Read the minimum detectable effect before the estimate.

# %%
design = Design(
    outcome=catalog.outcome(outcome),
    treatment=catalog.treatment("certification"),
    analysis=catalog.plan().analyses[outcome],
)
sample = design.sample(build_panel(Path(raw_dir)))
real = {name: estimate(sample, name) for name in NAMES}
scale = catalog.outcome(outcome).scale
pd.DataFrame(
    {
        name: {
            "estimate": scale * item.estimate,
            "ci_low": scale * item.ci[0],
            "ci_high": scale * item.ci[1],
            "minimum detectable effect": scale * item.minimum_detectable_effect,
        }
        for name, item in real.items()
    }
).T.round(2)

# %% [markdown]
# ## Which errors to trust
# With few treated cities the usual standard errors are too small. A rule declared beforehand says what to trust, from
# the number of treated clusters and from how evenly they decide the estimate; cities drawn by lot show what chance
# does.

# %%
print(inference_allowed(sample).why)
lots = draw_lots(sample, seed=seed, stream="certification", draws=999, n_leads=5)
clustered = real["imputation"]
print(f"clustered: p = {clustered.p_value:.3f}; by lot, within groups by population: p = {lots.p_value:.3f}")

# %% [markdown]
# ## How few treated units each cell rests on

# %%
pd.DataFrame([term.as_dict() for term in real["callaway_santanna"].group_time]).head(12)

# %% [markdown]
# ## The method card
# What an estimator assumes and how its errors are computed is printed on every page.

# %%
print(method_card("imputation"))
