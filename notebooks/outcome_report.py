# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% tags=["parameters"]
# The evidence to show, relative to this notebook. `wwc-research report` makes it and runs this notebook on it.
evidence_path = "../data/processed/evidence/findings/certification/broadband.json"

# %%
from wwc_research.report import doubt_sections, sections

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
doubt_sections.many_questions(evidence)

# %%
sections.checks(evidence)

# %%
doubt_sections.variations(evidence)

# %%
doubt_sections.specification_curve(evidence)

# %%
doubt_sections.sensitivity(evidence)

# %%
doubt_sections.calibration(evidence)

# %%
sections.balance(evidence)

# %%
sections.cohorts(evidence)

# %%
sections.exclusions(evidence)

# %%
doubt_sections.plan(evidence)

# %%
sections.methods(evidence)

# %%
sections.provenance(evidence)
