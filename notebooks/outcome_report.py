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
# "staff" or "research": which of the cells below show something.
audience = "research"
# "en", "es" or "pt".
language = "en"

# %%
from wwc_research.report import citation, doubt_sections, sections, staff_sections
from wwc_research.report.outcome_page import OutcomePage

page = OutcomePage.open(evidence_path, audience=audience, language=language)
page.staff(staff_sections.answer)

# %%
page.staff(staff_sections.picture)

# %%
page.staff(staff_sections.how_sure)

# %%
page.staff(staff_sections.not_to_claim)

# %%
page.staff(staff_sections.change_of_mind)

# %%
page.staff(staff_sections.about)

# %%
page.research(sections.headline)

# %%
page.research(sections.estimand)

# %%
page.research(sections.cohorts)

# %%
page.research(sections.places)

# %%
page.research(sections.event_study)

# %%
page.research(sections.trends)

# %%
page.research(sections.synthetic)

# %%
page.research(sections.cross_section)

# %%
page.research(sections.estimates)

# %%
page.research(doubt_sections.many_questions)

# %%
page.research(sections.checks)

# %%
page.research(doubt_sections.variations)

# %%
page.research(doubt_sections.specification_curve)

# %%
page.research(doubt_sections.sensitivity)

# %%
page.research(doubt_sections.calibration)

# %%
page.research(sections.balance)

# %%
page.research(sections.exclusions)

# %%
page.research(doubt_sections.plan)

# %%
page.research(sections.methods)

# %%
page.research(sections.provenance)

# %%
page.research(citation.citation)
