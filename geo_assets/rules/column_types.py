"""Column types by their text: `int64`, `decimal(10, 2)`, `list<string>`."""

from __future__ import annotations

import re

import pyarrow as pa

from geo_assets.errors import ConfigError

_PLAIN: dict[str, pa.DataType] = {
    **{f"{sign}int{bits}": getattr(pa, f"{sign}int{bits}")() for sign in ("", "u")
       for bits in (8, 16, 32, 64)},
    "int": pa.int64(), "float16": pa.float16(), "halffloat": pa.float16(),
    "float32": pa.float32(), "float": pa.float32(), "float64": pa.float64(),
    "double": pa.float64(), "bool": pa.bool_(), "boolean": pa.bool_(),
    "string": pa.string(), "text": pa.string(), "large_string": pa.large_string(),
    "binary": pa.binary(), "large_binary": pa.large_binary(),
    "date": pa.date32(), "date32": pa.date32(), "date32[day]": pa.date32(),
    "time": pa.time64("us"), "null": pa.null(),
}  # fmt: skip
_UNIT = re.compile(r"(timestamp|time32|time64|duration)\[(s|ms|us|ns)(?:,\s*tz=([^\]]+))?\]\Z")
_DECIMAL = re.compile(r"decimal(?:128)?\(\s*(\d+)\s*,\s*(\d+)\s*\)\Z")


def parse_type(text: str, where: str = "") -> pa.DataType:
    """The Arrow type that `text` names.

    Understands Arrow's own spelling of a type and the short forms `int`, `text`, `date`,
    `timestamp`, `decimal(p, s)`, `list<T>` and `struct<a: T, b: T>`.

    Raises:
        ConfigError: There is no such type.
    """
    found = _parse(text.strip())
    if found is None:
        raise ConfigError("A column type is one that Arrow has", repr(text), where,
                          "Write for example int64, float64, string, bool, date, timestamp, "
                          "decimal(10, 2) or list<string>.")  # fmt: skip
    return found


def _parse(text: str) -> pa.DataType | None:
    if text in _PLAIN:
        return _PLAIN[text]
    if text == "timestamp":
        return pa.timestamp("us")
    if match := _UNIT.match(text):
        kind, unit, zone = match.groups()
        try:
            return pa.timestamp(unit, tz=zone) if kind == "timestamp" else getattr(pa, kind)(unit)
        except ValueError:
            return None
    if match := _DECIMAL.match(text):
        precision, scale = int(match[1]), int(match[2])
        return pa.decimal128(precision, scale) if 1 <= precision <= 38 else None
    return _nested(text)


def _nested(text: str) -> pa.DataType | None:
    head, bracket, body = text.partition("<")
    if not bracket or not body.endswith(">"):
        return None
    members = _split(body[:-1])
    if head in ("list", "large_list") and len(members) == 1:
        item = _parse(members[0].removeprefix("item: ").removeprefix("element: ").strip())
        return None if item is None else (pa.list_ if head == "list" else pa.large_list)(item)
    if head == "struct":
        fields = [(name.strip(), _parse(kind.strip())) for name, _, kind in
                  (member.partition(":") for member in members)]  # fmt: skip
        return None if any(kind is None for _, kind in fields) else pa.struct(fields)
    return None


def _split(text: str) -> list[str]:
    """Split at the commas that are not inside brackets."""
    parts, depth, start = [], 0, 0
    for position, letter in enumerate(text):
        depth += (letter in "<([") - (letter in ">)]")
        if letter == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [part.strip() for part in (*parts, text[start:])]
