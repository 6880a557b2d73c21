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
# The facts to show, relative to this notebook. `wwc-research report --cities` writes them and runs this notebook.
facts_path = "../data/processed/cities/detroit-mi-2622000.json"
language = "en"

# %%
from wwc_research.report import city_sections
from wwc_research.report.city_page import CityPage

page = CityPage.open(facts_path, language=language)
page.show(city_sections.answer)

# %%
page.show(city_sections.outcomes)

# %%
page.show(city_sections.peers)

# %%
page.show(city_sections.standard)

# %%
page.show(city_sections.not_to_claim)

# %%
page.show(city_sections.sources)
