"""Located defects come with a small map that Dagster shows inline."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree as ET

import dagster as dg
import pytest

from geo_assets.checks.picture import defects_picture
from geo_assets.checks.verdict import findings_metadata
from geo_assets.metadata import INLINE_LIMIT
from geo_assets.model import Defect, Findings


def _findings(*places: tuple[float | None, float | None]) -> Findings:
    defects = [Defect(kind="gap", feature="A+B", lon=lon, lat=lat) for lon, lat in places]
    return Findings.of(defects, checked=100)


def _dots(markdown: str) -> list[tuple[int, int]]:
    match = re.search(r"base64,([^)]*)\)", markdown)
    assert match is not None
    svg = ET.fromstring(base64.b64decode(match[1]))
    circles = svg.iter("{http://www.w3.org/2000/svg}circle")
    return [(int(each.get("cx", "")), int(each.get("cy", ""))) for each in circles]


def test_north_is_up_and_a_degree_of_longitude_is_as_long_as_it_is_there() -> None:
    south_west, south_east, north_west = _dots(
        defects_picture(_findings((14.0, 60.0), (14.2, 60.0), (14.0, 60.1)))
    )
    assert south_east[0] - south_west[0] == pytest.approx(south_west[1] - north_west[1], abs=2)
    assert south_east[0] > south_west[0] == north_west[0]
    assert north_west[1] < south_west[1] == south_east[1]


def test_it_is_shown_inline_however_many_there_are() -> None:
    many = _findings(*((14 + number / 7, 50 + number / 9) for number in range(300)))
    markdown = defects_picture(many)
    assert len(markdown) <= INLINE_LIMIT
    assert "of 300 near 50.000, 14.000" in markdown
    assert len(_dots(markdown)) == 9
    shown = findings_metadata(many)["map"]
    assert isinstance(shown, dg.MarkdownMetadataValue)
    assert shown.value == markdown


def test_what_has_no_place_has_no_map() -> None:
    assert defects_picture(_findings((None, None))) == ""
    assert "map" not in findings_metadata(_findings((None, None)))
    assert _dots(defects_picture(_findings((14.0, 50.0)))) == [(60, 40)]
