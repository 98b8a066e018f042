"""Which columns of a CSV file are its coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geo_assets.errors import InputError

_X_NAMES = ("longitude", "lon", "long", "lng", "longitude_deg", "x", "easting")
_Y_NAMES = ("latitude", "lat", "latitude_deg", "y", "northing")


def csv_options(
    path: Path, stated: Mapping[str, Any], xy_columns: tuple[str, str] | None
) -> dict[str, str]:
    """OGR's open options that make points of two columns; a WKT column needs none.

    Args:
        path: The file, for messages.
        stated: What pyogrio says of the file without these options.
        xy_columns: The x and the y column; None finds the usual names.

    Raises:
        InputError: There are no such columns, or more than one of the usual names.
    """
    if stated["geometry_type"] is not None and xy_columns is None:
        return {}
    fields = [str(name) for name in stated["fields"]]
    if xy_columns is None:
        found = [
            [name for name in fields if name.lower() in names] for names in (_X_NAMES, _Y_NAMES)
        ]
        if [len(names) for names in found] != [1, 1]:
            raise InputError("A CSV layer has a WKT column, or one longitude and one latitude "
                             "column", f"columns {', '.join(fields)}", path.name,
                             "Name the two columns in the declaration.")  # fmt: skip
        xy_columns = (found[0][0], found[1][0])
    absent = [name for name in xy_columns if name not in fields]
    if absent:
        raise InputError(f"The CSV file has the column {absent[0]!r}",
                         f"columns {', '.join(fields)}", path.name)  # fmt: skip
    return {"X_POSSIBLE_NAMES": xy_columns[0], "Y_POSSIBLE_NAMES": xy_columns[1]}
