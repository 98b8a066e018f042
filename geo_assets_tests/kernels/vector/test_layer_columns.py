"""Columns: casts lose nothing, and what cannot be cast is found by row."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from geo_assets.errors import ConfigError, InputError
from geo_assets.kernels.layer_columns import cast_lossless
from geo_assets.rules.column_types import parse_type

NUMBERS = ["int8", "int16", "int32", "int64", "uint8", "uint32", "float32", "float64", "bool",
           "decimal(10, 2)"]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.none() | st.floats(width=64) | st.integers(-300, 300).map(float), max_size=20),
    st.sampled_from(NUMBERS),
)
def test_a_number_is_cast_to_its_equal_or_named_as_lost(
    values: list[float | None], kind: str
) -> None:
    array = pa.array(values, pa.float64())

    got, lost = cast_lossless(array, parse_type(kind), "x")

    assert got.type == parse_type(kind)
    for before, after, gone in zip(values, got.to_pylist(), lost, strict=True):
        if gone:
            assert before is not None
            assert after is None
        elif before is None:
            assert after is None
        else:
            assert float(after) == before or (math.isnan(before) and math.isnan(after))


@pytest.mark.parametrize(
    ("values", "kind", "expected", "lost"),
    [
        (["1", " 2 ", "", None, "x", "3.5"], "int64", [1, 2, None, None, None, None], [4, 5]),
        (["1.5", "1e3", "nan?"], "float64", [1.5, 1000.0, None], [2]),
        (["true", "false", "maybe"], "bool", [True, False, None], [2]),
        (["2024-02-29", "2023-02-29"], "date", ["2024-02-29", None], [1]),
        ([2**53, 2**53 + 1], "float64", [2.0**53, None], [1]),
        ([1, 300, -1], "uint8", [1, None, None], [1, 2]),
        ([1.0, 0.1], "float32", [1.0, None], [1]),
        ([1, 0, 2], "bool", [True, False, None], [2]),
        (["1.10", "1.123"], "decimal(10, 2)", ["1.10", None], [1]),
        ([7, 8], "string", ["7", "8"], []),
        ([" a "], "string", [" a "], []),
    ],
)
def test_casts(values: list, kind: str, expected: list, lost: list[int]) -> None:
    got, gone = cast_lossless(pa.array(values), parse_type(kind), "x")
    text = kind in ("date", "decimal(10, 2)")
    result = [str(v) if text and v is not None else v for v in got.to_pylist()]
    assert result == expected
    assert np.flatnonzero(gone).tolist() == lost


def test_types_that_have_nothing_in_common_are_refused() -> None:
    with pytest.raises(InputError, match="got bool, in layer, column 'a'"):
        cast_lossless(pa.array([True]), pa.date32(), "layer, column 'a'")


TYPES = st.recursive(
    st.sampled_from([pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.string(), pa.bool_(),
                     pa.date32(), pa.binary(), pa.timestamp("us"), pa.timestamp("ms", "UTC"),
                     pa.decimal128(12, 3), pa.time64("us"), pa.large_string()]),
    lambda inner: inner.map(pa.list_) | st.dictionaries(
        st.sampled_from("abc"), inner, min_size=1).map(lambda d: pa.struct(list(d.items()))),
    max_leaves=5,
)  # fmt: skip


@given(TYPES)
def test_the_text_of_a_type_names_the_type(kind: pa.DataType) -> None:
    assert parse_type(str(kind)) == kind


@pytest.mark.parametrize("text", ["", "integer", "decimal(99,2)", "list<>", "struct<a>", "list<int",
                                  "timestamp[y]", "decimal(5)"])  # fmt: skip
def test_a_type_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="decimal"):
        parse_type(text)
