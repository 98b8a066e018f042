"""Columns of a layer: the declared schema, and casts that lose nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geo_assets.errors import InputError
from geo_assets.rules.column_types import parse_type


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPlan:
    """Which columns a layer keeps, and as what."""

    columns: tuple[tuple[str, str, pa.DataType], ...]
    """Name in the source, name in the result, type in the result; in result order."""
    key: str
    """Name of the key column in the result."""
    created_key: bool
    """Whether the key is a row number that we add."""

    @property
    def schema(self) -> pa.Schema:
        """The result's columns without geometry."""
        fields = [pa.field(name, kind) for _, name, kind in self.columns]
        if self.created_key:
            fields.insert(0, pa.field(self.key, pa.int64()))
        return pa.schema(fields)


def plan_columns(
    delivered: pa.Schema,
    declared: Mapping[str, str],
    *,
    extra: bool,
    key: str | None,
    reserved: frozenset[str],
    where: str,
) -> ColumnPlan:
    """Hold the delivered columns against the declared ones.

    With nothing declared everything is kept as delivered. With a schema declared exactly its
    columns are kept, in its order; `extra` keeps the others behind them.

    Args:
        delivered: The source's columns without geometry.
        declared: Column name to type text.
        extra: Whether undeclared columns are kept.
        key: The key column, or None to add a row number called `fid`.
        reserved: Names that the result needs itself (`geometry`, `bbox`); a delivered column of
            that name gets a number behind it.
        where: The layer, for messages.

    Raises:
        InputError: A declared column or the key is missing, or two columns have one name.
    """
    names = delivered.names
    _check_names(names, declared, key, where)
    wanted = [*declared, *(name for name in names if name not in declared)]
    kept = wanted if extra or not declared else list(declared)
    taken = set(reserved)
    columns = []
    for name in kept:
        kind = parse_type(declared[name], where) if name in declared else delivered.field(name).type
        result = free_name(name, taken)
        taken.add(result)
        columns.append((name, result, kind))
    results = {source: result for source, result, _ in columns}
    if key is not None and key not in results:
        columns.append((key, free_name(key, taken), delivered.field(key).type))
        results[key] = columns[-1][1]
    return ColumnPlan(
        columns=tuple(columns),
        key=results[key] if key is not None else free_name("fid", taken),
        created_key=key is None,
    )


def _check_names(
    names: list[str], declared: Mapping[str, str], key: str | None, where: str
) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError("Column names are unique", f"{', '.join(twice)} more than once", where)
    missing = [name for name in (*declared, *([key] if key else [])) if name not in names]
    if missing:
        raise InputError(f"The layer has the declared column {', '.join(map(repr, missing))}",
                         f"columns {', '.join(names) or 'none'}", where,
                         "Correct the declaration or the delivery.")  # fmt: skip


def free_name(name: str, taken: set[str]) -> str:
    """`name`, or `name_1` and on where it is taken."""
    number, free = 0, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def cast_lossless(
    values: pa.Array, kind: pa.DataType, where: str
) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Cast so that casting back gives the same values; text is parsed.

    Returns:
        The cast values, null where a value has no equal in `kind`, and the mask of those.

    Raises:
        InputError: No value of the source type can become `kind`.
    """
    nothing = np.zeros(len(values), dtype=bool)
    if values.type == kind:
        return values, nothing
    try:
        return _cast(values, kind), nothing
    except pa.ArrowNotImplementedError:
        raise InputError(
            f"The column can be read as {kind}",
            f"{values.type}",
            where,
            "Declare a type that the delivered one converts to.",
        ) from None
    except (pa.ArrowInvalid, _LossyCastError):
        lost = _offenders(values, kind)
        kept = pc.if_else(pa.array(~lost), values, pa.scalar(None, values.type))
        return _cast(kept, kind), lost


class _LossyCastError(Exception):
    """A cast that Arrow allows but that changes values."""


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Arrow's safe cast, held against its own inverse where it can still lose something."""
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        # Only text that is empty is no value at all for a number or a date.
        trimmed = pc.utf8_trim_whitespace(values)
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            blank = pc.equal(trimmed, "")
            trimmed = pc.if_else(blank, pa.scalar(None, values.type), trimmed)
            return trimmed.cast(kind)
        return values.cast(kind)
    cast = values.cast(kind)
    if _may_lose(values.type, kind):
        back = cast.cast(values.type)
        same = pc.or_(pc.equal(back, values), _both_nan(back, values))
        if not pc.all(pc.fill_null(same, fill_value=True), min_count=0).as_py():
            raise _LossyCastError
    return cast


def _may_lose(source: pa.DataType, kind: pa.DataType) -> bool:
    number = (pa.types.is_floating, pa.types.is_boolean, pa.types.is_integer, pa.types.is_decimal)
    return any(test(kind) for test in number) and any(test(source) for test in number)


def _both_nan(first: pa.Array, second: pa.Array) -> pa.Array:
    if not pa.types.is_floating(first.type):
        return pa.array(np.zeros(len(first), dtype=bool))
    return pc.and_(pc.is_nan(first), pc.is_nan(second))


def _offenders(values: pa.Array, kind: pa.DataType) -> NDArray[np.bool_]:
    """Which values cannot be cast, found by halving: cheap where few are bad."""
    lost = np.zeros(len(values), dtype=bool)
    spans = [(0, len(values))]
    while spans:
        start, stop = spans.pop()
        try:
            _cast(values.slice(start, stop - start), kind)
        except (pa.ArrowInvalid, _LossyCastError):
            if stop - start == 1:
                lost[start] = True
            else:
                middle = (start + stop) // 2
                spans += [(start, middle), (middle, stop)]
    return lost
