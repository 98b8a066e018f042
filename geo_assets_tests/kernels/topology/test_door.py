"""What the loop's own process loads of topology does no CPU work."""

from __future__ import annotations

import subprocess
import sys


def test_the_door_imports_no_geo_library() -> None:
    code = (
        "import sys, geo_assets.kernels.topology, geo_assets.kernels.report_check\n"
        "print(*({'rasterio', 'geopandas', 'pandas', 'shapely', 'pyogrio'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.split() == []
