import dataclasses
import datetime as dt
import json
import stat

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wwc_research.catalog.editions import edition, editions
from wwc_research.errors import InputError
from wwc_research.sources.places import Places
from wwc_research.standard.assessment_files import read_assessments, write_scores
from wwc_research.standard.cells import Heads
from wwc_research.standard.scoring import score

V3 = edition("v3")
PLACES = Places(
    pd.DataFrame(
        [
            ("2622000", "Detroit city", "MI", True, ""),
            ("0644000", "Los Angeles city", "CA", True, ""),
            ("2743000", "Rochester city", "MN", True, ""),
            ("3663000", "Rochester city", "NY", True, ""),
        ],
        columns=["place_id", "name", "state", "in_universe", "aliases"],
    ),
    pd.DataFrame({"county_id": [], "name": [], "state": []}, dtype=str),
)


def read(path):
    return read_assessments(path, edition=V3, places=PLACES).confidential_frame()


def from_csv(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "file.csv"
    path.write_bytes(text.encode(encoding))
    return read(path)


def from_excel(tmp_path, *sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    book.save(tmp_path / "file.xlsx")
    return read(tmp_path / "file.xlsx")


def refused(tmp_path, text):
    with pytest.raises(InputError) as error:
        from_csv(tmp_path, text)
    return str(error.value)


LONG = """place,assessed_on,criterion,response
"Detroit, MI",2023-06-21,dm 1,met
2622000,2023-06-21,DM-2,NO
"Detroit, Michigan",2023-06-21,SI2,1
detroit-mi,2024,Dm_1,not met
0644000,2023-06,"LC1: Executive Commitment",Not assessed
"Los Angeles, CA",2023-06,Qualitative Data Practices,yes
"Bogotá, Colombia",2024-01-23,OD3,
CO-bogota,2024-01-23,OD4,0
"""


def test_the_long_layout_reads_codes_aliases_names_and_several_assessments_a_city(tmp_path):
    frame = from_csv(tmp_path, LONG)
    assert frame[["place_id", "assessed_on"]].to_numpy().tolist() == [
        ["0644000", "2023-06"],
        ["2622000", "2023-06-21"],
        ["2622000", "2024"],
        ["CO-bogota", "2024-01-23"],
    ]
    assert frame["name"].tolist()[:2] == ["Los Angeles, CA", "Detroit, MI"]
    ids = ["DM1", "DM2", "CI2", "LC1", "DM7", "OD3", "OD4"]
    assert frame[ids].to_numpy().tolist() == [
        [-1, -1, -1, -1, 1, -1, -1],
        [1, 0, 1, -1, -1, -1, -1],
        [0, -1, -1, -1, -1, -1, -1],
        [-1, -1, -1, -1, -1, -1, 0],
    ]


WIDE = [
    ["Place ID", "Name", "Assessed on", "DM 1", "dm-2", "SI2", "edition"],
    [644000, "ignored", dt.date(2023, 6, 21), 1, 0, None, "V3"],
    ["2622000", None, dt.datetime(2024, 1, 2), True, "n/a", "unmet", None],
]


def test_the_wide_layout_reads_excel_with_its_dates_numbers_and_lost_zeros(tmp_path):
    frame = from_excel(tmp_path, [["notes"], ["kept apart"]], WIDE)
    assert frame[["place_id", "assessed_on", "DM1", "DM2", "CI2"]].to_numpy().tolist() == [
        ["0644000", "2023-06-21", 1, 0, -1],
        ["2622000", "2024-01-02", 1, -1, 0],
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_layout_encoding_and_separator_of_a_file_do_not_change_what_it_says(tmp_path, encoding):
    long = from_csv(tmp_path, LONG)
    wide = long.drop(columns=["place_id"]).rename(columns={"name": "place"})
    wide = wide.assign(place=["Los Angeles, CA", "Detroit, MI", "Detroit, MI", "CO-bogota"])
    wide = wide.replace({-1: "", 1: "met", 0: "not met"})
    for separator in ",;\t":
        again = from_csv(tmp_path, wide.to_csv(index=False, sep=separator), encoding)
        pd.testing.assert_frame_equal(again.drop(columns="name"), long.drop(columns="name"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_order_of_rows_does_not_matter(tmp_path, data):
    head, *rows = LONG.strip().split("\n")
    turned = "\n".join([head, *data.draw(st.permutations(rows))])
    answers = [frame.drop(columns="name") for frame in (from_csv(tmp_path, turned), from_csv(tmp_path, LONG))]
    pd.testing.assert_frame_equal(*answers)


def test_all_faults_of_a_file_come_in_one_message_by_row_and_name_no_city_that_was_found(tmp_path):
    said = refused(
        tmp_path,
        """place,assessed_on,criterion,response,edition
"Detroit, MI",2023-06-21,DM1,met,v3
"Detroit, MI",21/6/2023,DM1,met,v3
"Detroit, MI",2023-02-30,XX9,perhaps,v3
"Detroti, MI",2023-06-21,DM1,met,v3
"Detroti, MI",2023-06-21,DM2,met,v3
Rochester,2023-06-21,DM2,met,v3
644000,2023-06-21,DM2,met,v2
2622000,2023-06-21,dm 1,met,v3
,2023-06-21,DM1,met,v3
""",
    )
    for part in (
        "10 faults",
        "row 3: assessed_on '21/6/2023' is no date",
        "row 4: assessed_on '2023-02-30' is no date",
        "row 4: 'XX9' is no criterion of v3",
        "row 4: response 'perhaps' is none of met",
        "rows 5 and 6: 'Detroti, MI' is no place of the gazetteer. Nearest names: Detroit city, MI (2622000)",
        "row 7: 'Rochester' names Rochester city, MN (2743000) and Rochester city, NY (3663000)",
        "row 8: '644000' has six digits, so a leading zero is lost; write it as text: 0644000",
        "row 8: edition 'v2' is not v3",
        "row 9: criterion DM1 is answered a second time, first in row 2",
        "row 10: no place",
    ):
        assert part in said
    wholly_found = refused(tmp_path, 'place,assessed_on,criterion,response\n"Detroit, MI",never,XX9,perhaps\n')
    assert "3 faults" in wholly_found
    assert "Detroit" not in wholly_found


FAULTS = [
    ("place,DM1\nx,1\n", "no column assessed_on; the file has 'place' and 'DM1'"),
    ("assessed_on,criterion\n2023,DM1\n", "no column place and response"),
    ("place,assessed_on\n2622000,2023\n", "no column is a criterion of v3"),
    ("place,assessed_on,DM1,notes\n2622000,2023,1,x\n", "row 1: 'notes' is no criterion of v3"),
    ("place,assessed_on,SI2,CI2\n2622000,2023,1,1\n", "row 1: columns 'SI2' and 'CI2' are both CI2"),
    ("place,assessed_on,DM1,dm 1\n2622000,2023,1,1\n", "'DM1' and 'dm 1' stand more than once"),
    ("place,assessed_on,DM1\n2622000,2023,1\n2622000,2023,1\n", "row 3: is of the same city and date as row 2"),
    ("place,assessed_on,DM1\n2622000,2023,0.5\n", "row 2: response '0.5' under DM1 is none of met"),
    ("place,assessed_on,DM1\nDetroit, MI,2023,1\n", "row 2: has more cells than the header's 3"),
    ("place,assessed_on,DM1\n2622000,2023\n", "row 2: has 2 cells, the header 3"),
    ("place,assessed_on,,DM1\n2622000,2023,1,1\n", "a column has no name"),
    ("place,assessed_on,DM1\n", "a header and no rows"),
    ("\n\n", "the first row is empty"),
    ("a\x00b", "is neither CSV nor an Excel workbook"),
    ("place,assessed_on,DM1 points\n2622000,2023,0.5\n", "points '0.5' of DM1 should be a whole number from 0 to 1"),
    ("place,assessed_on,DM1 points\n2622000,2023,2\n", "row 2: points '2' of DM1 should be a whole number from 0 to 1"),
    ("place,assessed_on,DM1 points\n2622000,2023,nan\n", "points 'nan' of DM1 should be"),
    ("place,assessed_on,DM1,DM1 points\n2622000,2023,no,1\n", "response and points of DM1 contradict each other"),
    ("place,assessed_on,DM1,DM1 evidence\n2622000,2023,1,soon\n", "evidence 'soon' under DM1 is none of yes and no"),
    ("place,assessed_on,DM1 evidence\n2622000,2023,1\n", "evidence of DM1 stands without a column of responses"),
    ("place,assessed_on,SI2_points,CI2 points\n2622000,2023,1,1\n", "are both points of CI2; keep one"),
    ("place,assessed_on,DM1,own_outcome\n2622000,2023,1,good\n", "own_outcome 'good' is none of demonstrated, not"),
    ("place,assessed_on,criterion,evidence\n2622000,2023,DM1,yes\n", "no column response"),
    (
        "place,assessed_on,criterion,response\n2622000,2023,own outcome,\n2622000,2023,own_outcome,cannot tell\n",
        "row 3: own_outcome is answered a second time, first in row 2",
    ),
]


@pytest.mark.parametrize(("text", "fault"), FAULTS)
def test_a_file_that_cannot_be_read_as_it_is_meant_says_why(tmp_path, text, fault):
    assert fault in refused(tmp_path, text)


POINTS = """place,assessed_on,criterion,response,points,evidence
2622000,2023-06-21,DM1,met,,no
2622000,2023-06-21,DM2,,2,Verified
2622000,2023-06-21,"CI3: Promotion of Data & Evidence",yes,,
2622000,2023-06-21,DM3,not met,1,not accepted
2622000,2023-06-21,Own outcome,Not_demonstrated,,
0644000,2023-06,DM2,not assessed,0,
0644000,2023-06,own_outcome,cannot tell,,
"""
WIDE_POINTS = [
    ["place", "assessed_on", "DM1", "DM1: evidence", "DM2 points", "dm_2_evidence", "Promotion of Data & Evidence",
     f"{V3.criteria['DM3'].name} - Points", "DM3 (evidence)", "own_outcome"],
    ["2622000", "2023-06-21", "met", "no", 2, "verified", "yes", 1, "not accepted", "not demonstrated"],
    ["0644000", "2023-06", None, None, 0, None, None, None, None, "cannot tell"],
]  # fmt: skip


def with_two_points():
    criteria = {
        id_: dataclasses.replace(entry, points=2.0 if id_ in ("DM2", "DM3") else 1.0)
        for id_, entry in V3.criteria.items()
    }
    return dataclasses.replace(V3, criteria=criteria)


def test_points_evidence_and_the_own_outcome_read_the_same_in_both_layouts(tmp_path):
    chosen = with_two_points()
    (tmp_path / "long.csv").write_text(POINTS, encoding="utf-8")
    book = openpyxl.Workbook()
    for row in WIDE_POINTS:
        book.active.append(row)
    book.save(tmp_path / "wide.xlsx")
    for name in ("long.csv", "wide.xlsx"):
        held = read_assessments(tmp_path / name, edition=chosen, places=PLACES)
        ids = ["DM1", "DM2", "DM3", "CI3"]
        assert held.confidential_frame()[ids].to_numpy().tolist() == [[-1, 0, -1, -1], [1, 1, 0, 1]]
        points = held.confidential_frame(what="points")[ids].to_numpy()
        np.testing.assert_array_equal(points, [[np.nan] * 4, [np.nan, np.nan, 1, np.nan]])
        assert held.confidential_frame(what="evidence")[ids].to_numpy().tolist() == [[-1] * 4, [0, 1, 0, -1]]
        own = held.confidential_frame(what="own_outcome")["own_outcome"].tolist()
        assert own == ["cannot tell", "not demonstrated"]
        reasons = score(held, chosen).confidential_records()[1]["reasons"]
        assert "DM1 said to be met, evidence not accepted" in reasons
        assert "DM3 said to be met in part, evidence not accepted" in reasons


def test_a_file_of_points_alone_needs_no_responses(tmp_path):
    frame = from_csv(tmp_path, "place,assessed_on,criterion,points\n2622000,2023,DM1,1\n2622000,2023,LC1,0\n")
    assert frame.loc[0, ["DM1", "LC1", "PA1"]].tolist() == [1, 0, -1]


def test_an_own_outcome_under_an_edition_that_knows_none_is_a_fault(tmp_path):
    (tmp_path / "file.csv").write_text("place,assessed_on,OD1,own_outcome\n2622000,2019,1,demonstrated\n")
    with pytest.raises(InputError, match="v2 knows no outcome of the city's own choice"):
        read_assessments(tmp_path / "file.csv", edition=edition("v2"), places=PLACES)


def test_every_name_and_alias_of_every_edition_heads_its_own_column_of_responses_points_and_evidence():
    for chosen in editions().values():
        heads = Heads(chosen)
        for id_, entry in chosen.criteria.items():
            for text in (id_, *filter(None, (entry.name, *entry.aliases, entry.name and f"{id_}: {entry.name}"))):
                assert heads.column(text) == (id_, "response"), text
                assert heads.column(f"{text} points") == (id_, "points"), text
                assert heads.column(f"{text} - Evidence") == (id_, "evidence"), text


def test_workbooks_that_would_be_read_wrongly_are_refused(tmp_path):
    with pytest.raises(InputError, match="one sheet of assessments is wanted, found 'Sheet' and 'Sheet1'"):
        from_excel(tmp_path, WIDE, WIDE)
    with pytest.raises(InputError, match="rows 2 hold formulas without values"):
        from_excel(tmp_path, [["place", "assessed_on", "DM1"], ["2622000", "2023", "=1"]])
    for content, fault in ((b"PK\x03\x04rest", "cannot be read as an Excel"), (b"\xd0\xcf\x11\xe0", "an old or prot")):
        (tmp_path / "bad.xlsx").write_bytes(content)
        with pytest.raises(InputError, match=fault):
            read(tmp_path / "bad.xlsx")
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "absent.csv")


def test_scores_are_written_for_their_owner_alone_and_say_the_same_in_both_layouts(tmp_path):
    (tmp_path / "in.csv").write_text(LONG, encoding="utf-8")
    scores = score(read_assessments(tmp_path / "in.csv", edition=V3, places=PLACES), V3)
    for layout in ("json", "csv"):
        write_scores(scores, tmp_path / layout, layout=layout)
        assert stat.S_IMODE((tmp_path / layout).stat().st_mode) == 0o600
    records = json.loads((tmp_path / "json").read_text(encoding="utf-8"))
    table = pd.read_csv(tmp_path / "csv", dtype={"place_id": str})
    assert [row["place_id"] for row in records] == table["place_id"].tolist()
    assert [row["points"] for row in records] == table["points"].tolist() == [1, 2, 0, 0]
    assert [row["practice_shares"]["DM"] for row in records] == pytest.approx(table["practice_share_DM"].tolist())
    assert ["; ".join(row["reasons"]) for row in records] == table["reasons"].tolist()
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(InputError, match="allowed: json and csv"):
        write_scores(scores, tmp_path / "x", layout="xml")
