"""Wanted keys are covered by few ranges."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from geo_assets.partitions import enclosing_ranges

ORDER = [f"k{number:04}" for number in range(300)]


@given(
    wanted=st.sets(st.sampled_from(ORDER)),
    worth=st.integers(0, 300),
    most=st.integers(1, 6),
)
def test_ranges_cover_what_is_wanted_and_separate_only_wide_gaps(wanted, worth, most):
    ranges = enclosing_ranges(wanted, ORDER, worth=worth, most=most)
    covered = [ORDER[ORDER.index(part.start) : ORDER.index(part.end) + 1] for part in ranges]
    assert wanted <= {key for part in covered for key in part}
    assert len(ranges) <= most
    assert sum(part.wanted for part in ranges) == len(wanted)
    for part in ranges:
        assert {part.start, part.end} <= wanted
    for before, after in pairwise(ranges):
        assert ORDER.index(after.start) - ORDER.index(before.end) > worth


def test_unknown_keys_are_left_out():
    assert enclosing_ranges(["elsewhere"], ORDER) == []


def test_the_widest_gaps_separate():
    wanted = ["k0000", "k0010", "k0100", "k0250"]
    ranges = enclosing_ranges(wanted, ORDER, worth=5, most=2)
    assert [(part.start, part.end) for part in ranges] == [("k0000", "k0100"), ("k0250", "k0250")]
