"""What a process pays that only plans joins."""

import subprocess
import sys


def test_planning_a_join_imports_no_geo_library(tmp_path):
    code = (
        "import sys; import geo_assets.kernels.join, geo_assets.kernels.join_plan;"
        "heavy = {'rasterio', 'geopandas', 'pandas', 'shapely', 'pyogrio'};"
        "print(*(heavy & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True,
                           text=True, timeout=60, check=True)  # fmt: skip
    assert ended.stdout.split() == []
