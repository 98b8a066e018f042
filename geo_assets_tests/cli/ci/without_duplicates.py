"""The delivery again, corrected by whoever delivers it: no district is in it twice.

`python without_duplicates.py SOURCE`. Which of two features is the right one no repair can know.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import geopandas

source = Path(sys.argv[1])
truth = json.loads((source / "truth.json").read_text())
twice = {pair[1] for pair in truth["districts"]["defects"]["duplicate"]}
layer = source / "layers/districts.gpkg"
districts = geopandas.read_file(layer)
kept = districts[~districts["district_id"].isin(twice)]
assert len(kept) == len(districts) - len(twice)
layer.unlink()
kept.to_file(layer, driver="GPKG", layer="districts")
