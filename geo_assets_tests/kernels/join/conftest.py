"""Write layers, run joins, and the brute-force answer."""

import itertools
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from geo_assets.kernels.join import join_index_kernel, join_kernel, join_merge_kernel
from geo_assets.kernels.join_plan import plan_join
from geo_assets.kernels.join_spec import JoinIndexSpec, JoinMergeSpec, JoinRule, JoinSide


class Bench:
    """Layers and joins in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = itertools.count()

    def layer(self, shapes, *, crs="EPSG:32633", rows=None, covering=False, side=None, **columns):
        path = self.folder / f"layer{next(self.count)}.parquet"
        columns = columns or {"id": np.arange(len(shapes))}
        frame = gpd.GeoDataFrame(columns, geometry=np.asarray(shapes, object), crs=crs)
        frame.to_parquet(path, row_group_size=rows or max(len(frame), 1),
                         write_covering_bbox=covering, schema_version="1.1.0")  # fmt: skip
        return JoinSide(path=path, **(side or {}))

    def frame(self, frame, *, rows=None, covering=False, side=None):
        path = self.folder / f"layer{next(self.count)}.parquet"
        frame.to_parquet(path, row_group_size=rows or max(len(frame), 1), index=False,
                         write_covering_bbox=covering, schema_version="1.1.0")  # fmt: skip
        return JoinSide(path=path, **(side or {}))

    def index(self, left, right, rule):
        folder = self.folder / f"index{next(self.count)}"
        folder.mkdir()
        facts = join_index_kernel(JoinIndexSpec(left=left, right=right, rule=rule), folder).facts
        return folder, facts

    def run(self, left, right, rule=None, *, cuts=None, **fields):
        """The merged result, with the facts of all chunks; `cuts` replaces the plan's chunks."""
        rule = rule or JoinRule(**{"crs": "EPSG:32633", **fields})
        index, facts = self.index(left, right, rule)
        specs = plan_join(left, right, rule, index)
        if cuts is not None:
            edges = sorted({0, *cuts, specs[-1].stop})
            specs = [
                type(specs[0])(
                    left=left, right=right, rule=rule, index=index, start=a, stop=b, number=i
                )
                for i, (a, b) in enumerate(itertools.pairwise(edges))
            ]
        folder = self.folder / f"out{next(self.count)}"
        folder.mkdir()
        results = [join_kernel(spec, folder) for spec in specs]
        parts = tuple(file.path for result in results for file in result.files)
        self.facts = [facts, *(result.facts for result in results)]
        if rule.how != "aggregate":
            return together(parts, folder / "joined.parquet")
        merge = JoinMergeSpec(
            right=right, rule=rule, index=index, parts=parts, name="joined.parquet"
        )
        return join_merge_kernel(merge, folder).files[0].path

    def table(self, *args, **fields) -> pa.Table:
        return pq.read_table(self.run(*args, **fields))

    def pairs(self, left, right, **fields):
        """(left id, right row) as a list."""
        table = self.table(left, right, **fields)
        name = "id_left" if "id_left" in table.column_names else "id"
        return list(zip(table[name].to_pylist(), table["index_right"].to_pylist(), strict=True))


def together(parts, path):
    """One file of the chunks' files, for readers of a single one."""
    if len(parts) == 1:
        return parts[0]
    geo = pq.read_metadata(parts[0]).metadata[b"geo"]
    table = pa.concat_tables([pq.read_table(part) for part in parts])
    pq.write_table(table.replace_schema_metadata({b"geo": geo}), path)
    return path


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def brute(left, right, predicate, *more):
    """Every pair tested by GEOS, by left then right."""
    left, right = np.asarray(left, object), np.asarray(right, object)
    hit = getattr(shapely, predicate)(left[:, None], right[None, :], *more)
    return [(int(i), int(j)) for i, j in zip(*np.nonzero(hit), strict=True)]


@pytest.fixture(name="brute")
def brute_fixture():
    return brute
