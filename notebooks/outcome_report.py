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

# %% tags=["parameters"]
# The evidence to show, relative to this notebook. `wwc-research report` makes it and runs this notebook on it.
evidence_path = "../data/processed/evidence/certification/broadband.json"

# %%
from wwc_research.report import sections

evidence = sections.load(evidence_path)
sections.headline(evidence)

# %%
sections.event_study(evidence)

# %%
sections.trends(evidence)

# %%
sections.synthetic(evidence)

# %%
sections.cross_section(evidence)

# %%
sections.estimates(evidence)

# %%
sections.checks(evidence)

# %%
sections.balance(evidence)

# %%
sections.cohorts(evidence)

# %%
sections.exclusions(evidence)

# %%
sections.methods(evidence)

# %%
sections.provenance(evidence)
