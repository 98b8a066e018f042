"""Pictures are small, well formed, readable on both grounds, and say their numbers."""

from __future__ import annotations

import random
import re
from xml.etree import ElementTree as ET

import pytest

from geo_assets.pictures import svg
from geo_assets.pictures.grid import DIFFERENCE, grid_picture
from geo_assets.pictures.histogram import histogram_markdown
from geo_assets.pictures.load import ChunkBar, Load, load_picture, load_thumbnail

SVG = "{http://www.w3.org/2000/svg}"


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def readable(text: str) -> bool:
    """Every colour has a contrast of at least 2.4 to white and to Dagster's dark ground."""
    dark = luminance("#15171c")
    for colour in set(re.findall(r"#[0-9a-f]{6}", text)):
        value = luminance(colour)
        if 1.05 / (value + 0.05) < 2.4 or (value + 0.05) / (dark + 0.05) < 2.4:
            return False
    return bool(re.findall(r"#[0-9a-f]{6}", text))


def busy(chunks: int = 24, points: int = 120, seconds: float = 3600.0) -> Load:
    chance = random.Random(1)
    bars = []
    for n in range(chunks):
        begin = seconds * n / chunks
        end = begin + seconds / chunks
        middle = (begin + end) / 2
        parts = (("fetch", begin, begin + 1), ("compute", middle, end - 1), ("stage", end - 1, end))
        bars.append(ChunkBar(name=f"2026-06-01/10-523-{n:09}", worker=f"w{n}", begin=begin, end=end,
                             parts=parts, failed=n == 3))  # fmt: skip
    return Load(
        seconds=seconds, chunks=4000, bars=bars, workers=2, budget=3 << 30, lag_p99=0.004,
        lag=[chance.expovariate(300) for _ in range(points)], lag_seconds=seconds,
        memory=[chance.uniform(0, 3 << 30) for _ in range(points)], memory_seconds=seconds,
    )  # fmt: skip


def test_the_load_fits_inline_and_the_timeline_behind_a_link():
    load = busy()
    small, big = load_thumbnail(load), load_picture(load)
    assert 0 < len(svg.inline(small, load.alt)) < 1000
    assert 0 < len(svg.large(big, load.alt)) <= 32 << 10
    for text in (small, big):
        ET.fromstring(text)
        assert readable(text)
        assert svg.LIMIT in text, "limits are drawn"
    assert ET.fromstring(big).find(f"{SVG}title").text == load.alt
    for number in ("4000 chunks", "2 workers", "3600.0 s", "p99 4.0 ms", "limit 50 ms", "3.0 GiB"):
        assert number in load.alt


def test_bars_stand_where_their_times_are():
    part = ("compute", 2.0, 8.0)
    item = ChunkBar(name="<a&b>", worker="w1", begin=0.0, end=10.0, parts=(part,))
    root = ET.fromstring(load_picture(Load(seconds=10.0, chunks=1, bars=[item], budget=1 << 30)))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "<a&b> w1" in texts
    rects = [
        {k: float(v) for k, v in r.attrib.items() if k != "fill"} for r in root.iter(f"{SVG}rect")
    ]
    waiting, compute = rects[-2:]
    assert compute["x"] - waiting["x"] == pytest.approx(0.2 * waiting["width"], abs=0.2)
    assert compute["width"] == pytest.approx(0.6 * waiting["width"], abs=0.2)


def test_a_lag_above_its_limit_is_drawn_above_its_line():
    def heights(lag):
        text = load_picture(Load(seconds=1.0, chunks=0, lag=[lag], lag_seconds=1.0, budget=1))
        (limit, *_) = re.findall(r'M170 (\d+)L\d+ \d+" stroke="#e5484d"', text)
        (start, up) = re.findall(r'd="M170 (\d+)v(-?\d+)', text)[0]
        return int(start) + int(up), int(limit)

    top, limit = heights(0.1)
    assert top < limit, "smaller is higher"
    top, limit = heights(0.01)
    assert top > limit
    far = load_picture(
        Load(seconds=1.0, chunks=0, memory=[1e6], memory_seconds=1.0, budget=9 << 30)
    )
    assert "limit 9.0 GiB; most 1 MiB" in far
    assert far.count("stroke-dasharray") == 1, "a limit that is far away would flatten the curve"


@pytest.mark.parametrize("load", [busy(chunks=0, points=0, seconds=0.0), busy(1, 1, 0.01)])
def test_next_to_nothing_can_be_drawn(load):
    for text in (load_thumbnail(load), load_picture(load)):
        ET.fromstring(text)


def square(column: int, row: int) -> tuple[float, float, float, float]:
    return (column * 10.0, row * 10.0, column * 10.0 + 10, row * 10.0 + 10)


@pytest.mark.parametrize("side", [3, 60, 200])
def test_the_grid_is_small_whatever_its_size(side):
    bounds = {f"{c}/{r}": square(c, r) for c in range(side) for r in range(side)}
    kinds = ("made", "empty", "failed", "resumed")
    states = {name: kinds[place % 4] for place, name in enumerate(bounds)}
    text, alt = grid_picture(bounds, states, "scene <1>")
    assert len(text.encode()) <= 8 << 10
    assert ET.fromstring(text).find(f"{SVG}title").text == alt
    assert readable(text)
    assert alt.startswith(f"scene <1>: {side * side} cells, ")
    assert svg.LIMIT in text, "a failed cell is never hidden"
    for word in ("made", "without data", "failed", "kept"):
        assert word in alt


def test_the_grid_has_north_up():
    bounds = {"south": square(0, 0), "north": square(0, 5)}
    text, _ = grid_picture(bounds, {"north": "made", "south": "failed"}, "x")
    assert re.search(rf'{svg.GREEN}"[^>]*d="M0 0h', text), "the northern cell is at the top"


def test_a_changed_cell_is_seen_among_many_that_are_the_same():
    bounds = {f"{c}/{r}": square(c, r) for c in range(90) for r in range(90)}
    states = dict.fromkeys(bounds, "same") | {"40/40": "changed"}
    text, alt = grid_picture(bounds, states, "x", DIFFERENCE)
    assert svg.ORANGE in text
    assert alt == "x: 8100 cells, 8099 the same, 1 changed"


def test_a_histogram_shows_the_shape_and_is_inline():
    chance = random.Random(4)
    counts = [chance.randrange(100_000) for _ in range(16)]
    band = {"low": 7271.25, "high": 31235.75, "histogram": counts}
    bands = [band | {"name": f"band {n}"} for n in range(4)]
    text = histogram_markdown(bands)
    assert 0 < len(text) < 1000
    assert text.startswith("![band 0 7271 to 3.124e+04; band 1")
    empty = {"name": "x", "low": None, "high": None, "histogram": [0] * 16}
    assert histogram_markdown([empty]) == ""
    assert histogram_markdown([]) == ""
    flat = {"name": "x", "low": 1.0, "high": 1.0, "histogram": [9] + [0] * 15}
    assert histogram_markdown([flat]).startswith("![x 1 to 1]")


def test_markdown_is_inline_or_absent():
    assert len(svg.inline("<svg/>" * 20, "alt" * 200)) <= svg.INLINE_LIMIT
    assert svg.inline("<svg/>" * 500, "alt") == ""
    assert svg.large("<svg/>" * 6000, "alt") == ""
    assert svg.markdown(b"<svg/>", "image/svg+xml", "a]b").startswith("![a)b](data:image/svg+xml;")
