"""What a spatial join is: plain values, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geo_assets.errors import ConfigError

PREDICATES = (
    "intersects", "within", "contains", "covers", "covered_by", "touches", "crosses", "overlaps",
    "dwithin", "nearest",
)  # fmt: skip
"""`left <predicate> right`, as GEOS defines each."""
HOW = ("inner", "left", "aggregate")
STATISTICS = ("count", "sum", "mean", "min", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinSide:
    """One of the two layers: a GeoParquet file (WKB), any number of row groups."""

    path: Path
    """The file on this machine."""
    crs: str | None = None
    """The CRS that the layer is declared to be in; None believes the file. A file that says
    otherwise is refused."""
    columns: tuple[str, ...] | None = None
    """Attribute columns to keep; None keeps all. The geometry is not one of them."""
    groups: tuple[int, ...] | None = None
    """Row groups whose features may have a partner; None: all. The others have none."""
    partial: bool = False
    """The file has only the parts that `plan_reads` asked for: pages are verified as read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """One column of an aggregate: a statistic of a left column over the rows of each zone."""

    name: str
    """`count`, `sum`, `mean`, `min` or `max`. Nulls and NaN do not take part."""
    column: str | None = None
    """The left column, of whole or floating point numbers; None only for `count`: of rows."""

    def __post_init__(self) -> None:
        if self.name not in STATISTICS or (self.column is None and self.name != "count"):
            raise ConfigError("A statistic is count, or sum, mean, min, max, count of a column",
                              f"{self.name!r} of {self.column!r}")  # fmt: skip

    @property
    def title(self) -> str:
        """Name of the output column: `count`, `value_mean`."""
        return self.name if self.column is None else f"{self.column}_{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRule:
    """Which pairs of features belong together and what is made of them."""

    crs: str
    """The CRS that geometries are compared in and results are written in, for PROJ; x before y."""
    predicate: str = "intersects"
    """One of `PREDICATES`."""
    how: str = "inner"
    """`inner`, `left` (rows without a partner stay, with nulls) or `aggregate` (by right row)."""
    distance: float | None = None
    """For `dwithin`: the greatest distance, in units of `crs`, inclusive."""
    max_distance: float | None = None
    """For `nearest`: no partner is farther away than this, in units of `crs`."""
    neighbours: int = 1
    """For `nearest`: how many partners; all that are as near as the last one count too."""
    distance_column: str | None = None
    """For `nearest`: name of an output column with the distance, in units of `crs`."""
    index_column: str = "index_right"
    """Name of the output column that tells the right row: by number, or by `right_key`."""
    right_key: str | None = None
    """A right column whose values go into `index_column`; None takes the row number."""
    statistics: tuple[Statistic, ...] = (Statistic(name="count"),)
    """For `aggregate`."""
    zone_geometry: bool = False
    """For `aggregate`: the zones' geometry is written too."""

    def __post_init__(self) -> None:
        where = f"a {self.predicate} join"
        if self.predicate not in PREDICATES:
            raise ConfigError(f"A join's predicate is one of {', '.join(PREDICATES)}",
                              repr(self.predicate))  # fmt: skip
        if self.how not in HOW:
            raise ConfigError(f"A join is one of {', '.join(HOW)}", repr(self.how), where)
        self._check_distances(where)
        titles = [statistic.title for statistic in self.statistics]
        if self.how == "aggregate" and (not titles or len(set(titles)) < len(titles)):
            raise ConfigError(
                "An aggregate has statistics, none of them twice", repr(titles), where
            )

    def _check_distances(self, where: str) -> None:
        if (self.predicate == "dwithin") != (self.distance is not None):
            raise ConfigError("distance=... and the predicate dwithin go together",
                              f"{self.predicate!r}, distance {self.distance!r}", where)  # fmt: skip
        nearest = (self.max_distance, self.distance_column, self.neighbours) != (None, None, 1)
        if nearest and self.predicate != "nearest":
            raise ConfigError("max_distance, distance_column and neighbours are for nearest",
                              repr(self.predicate), where)  # fmt: skip
        for name in ("distance", "max_distance"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ConfigError(f"{name} is a finite number, not negative", repr(value), where)
        if self.max_distance == 0:
            raise ConfigError("max_distance is more than 0", "0", where,
                              "What touches is found by the predicate intersects.")  # fmt: skip
        if self.neighbours < 1:
            raise ConfigError("neighbours is at least 1", repr(self.neighbours), where)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinIndexSpec:
    """Spec of `join_index_kernel`: prepare the right side, once for all chunks."""

    right: JoinSide
    rule: JoinRule
    left: JoinSide
    """Only its footer is read: how many rows there are, whether they are points, their box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinChunkSpec:
    """Spec of `join_kernel`: some rows of the left side against the whole right side."""

    left: JoinSide
    right: JoinSide
    rule: JoinRule
    index: Path
    """Folder that `join_index_kernel` wrote to."""
    start: int
    """First left row."""
    stop: int
    """Left row after the last."""
    number: int
    """Position of the chunk in the plan; results are in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinMergeSpec:
    """Spec of `join_merge_kernel`: the chunks' sums of an aggregate made one table."""

    right: JoinSide
    rule: JoinRule
    index: Path
    """Folder that `join_index_kernel` wrote to."""
    parts: tuple[Path, ...]
    """The chunks' files, in the order of the plan."""
    name: str
    """Name of the file to write."""
