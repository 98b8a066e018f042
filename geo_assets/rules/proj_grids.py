"""The datum grids that PROJ has here: they decide which operations it can run, and how exactly."""

from __future__ import annotations

import os
from pathlib import Path

from pyproj import datadir, network

_SUFFIXES = (".tif", ".gsb", ".gtx", ".gvb", ".los", ".las")


def proj_grids() -> list[str]:
    """Names of the grid files that PROJ finds, sorted; `network` too where it may fetch others.

    They are part of what a reprojection depends on: a layer that is made again after a grid was
    installed is another layer, although neither its delivery nor its declaration changed.
    """
    folders = {Path(part) for part in datadir.get_data_dir().split(os.pathsep)}
    folders.add(Path(datadir.get_user_data_dir(create=False)))  # type: ignore[attr-defined]
    names = {
        file.name
        for folder in folders
        if folder.is_dir()
        for file in folder.iterdir()
        if file.suffix.lower() in _SUFFIXES
    }
    fetched = network.is_network_enabled()  # type: ignore[attr-defined]
    return sorted(names) + (["network"] if fetched else [])
