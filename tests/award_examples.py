"""Awards of four invented histories, in no order, for the rows of the timeline and its picture."""

import pandas as pd

from wwc_research.evidence.adoptions import award_rows

LABELS = {"2622000": "Detroit, MI", "2507000": "Boston, MA", "0668000": "San Jose, CA"}


def events() -> pd.DataFrame:
    rows = [
        ("2622000", "first", "silver", "2021-07-14"),
        ("2622000", "recertified", "silver", "2023"),
        ("2507000", "level-up", "gold", "2024-01-23"),
        ("2507000", "first", "silver", "2018-01-25"),
        ("2507000", "level-up", "platinum", "2026-01"),
        ("0668000", "first", "", ""),
        ("0668000", "honor-roll", "", "2019-05"),
        ("3916000", "honor-roll", "", "2020-06-29"),
    ]
    return pd.DataFrame(rows, columns=["place_id", "event", "level", "announced_on"])


def rows() -> list[dict]:
    return award_rows(events(), labels={**LABELS, "3916000": "Cleveland, OH"})
