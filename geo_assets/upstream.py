"""Which partition of an input belongs to a partition: told to Dagster, and used to read it.

| partitions | of the input | a partition reads |
|---|---|---|
| any | none | the current version |
| any | the same | the same partition |
| two dimensions | one of them | that of its own key: a date x region reads its date |
| scenes | time windows | that of the date in the scene's name |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import dagster as dg

from geo_assets.dagster_internals import preview_features
from geo_assets.errors import ConfigError, InputError

Partitions: TypeAlias = dg.PartitionsDefinition[Any]

_DATE = re.compile(r"(?<!\d)(\d{4})-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")
"""`2026-06-01` or `20260601`, with no digit beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One input of an asset: its key and the rule of its partitions."""

    asset: tuple[str, ...]
    own: Partitions | None
    """The partitions of the asset that reads it."""
    partitions: Partitions | None
    """The input's own partitions."""

    def __post_init__(self) -> None:
        self._mapping()

    def dep(self) -> dg.AssetDep:
        """The dependency, for Dagster's graph."""
        return dg.AssetDep(dg.AssetKey(list(self.asset)), partition_mapping=self._mapping())

    def key(self, partition: str | None) -> str | None:
        """The partition of the input that `partition` reads; None where it has none.

        Raises:
            InputError: A scene's name holds no date, or one before the first partition.
        """
        if self.partitions is None:
            return None
        assert partition is not None
        if self.partitions == self.own:
            return partition
        if isinstance(self.own, dg.MultiPartitionsDefinition):
            return self.own.get_partition_key_from_str(partition).keys_by_dimension[_shared(self)]
        assert isinstance(self.partitions, dg.TimeWindowPartitionsDefinition)
        return _of_date(self.partitions, partition, "/".join(self.asset))

    def _mapping(self) -> dg.PartitionMapping | None:
        """One of Dagster's own: others it does not hand to the daemon and the UI."""
        if self.own is None and self.partitions is None:
            return None
        if self.partitions is None:
            return dg.AllPartitionMapping()
        if self.partitions == self.own:
            return dg.IdentityPartitionMapping()
        if isinstance(self.own, dg.MultiPartitionsDefinition) and _shared(self):
            with preview_features():
                return dg.MultiToSingleDimensionPartitionMapping(_shared(self))
        dated = isinstance(self.partitions, dg.TimeWindowPartitionsDefinition)
        if dated and isinstance(self.own, dg.DynamicPartitionsDefinition):
            # None of Dagster's mappings reads a date out of a name. Each scene depends on all
            # windows in its graph, therefore, and on the one of its date in what is recorded.
            return dg.AllPartitionMapping()
        raise ConfigError("An input has no partitions, the same ones, one of the two dimensions, "
                          "or for scenes days", str(self.partitions), "/".join(self.asset),
                          f"The asset that reads it has {self.own}.")  # fmt: skip


def _shared(upstream: Upstream) -> str:
    """The dimension that the input is partitioned by, or an empty name."""
    assert isinstance(upstream.own, dg.MultiPartitionsDefinition)
    for dimension in upstream.own.partitions_defs:
        if dimension.partitions_def == upstream.partitions:
            return dimension.name
    return ""


def _of_date(windows: dg.TimeWindowPartitionsDefinition, scene: str, where: str) -> str:
    found = _DATE.search(scene)
    if found is None:
        raise InputError("A scene that reads a partition by its date has a date in its name",
                         repr(scene), where, "Name it with the date: 2026-06-01.")  # fmt: skip
    year, month, day = map(int, found.groups())
    try:
        noon = datetime(year, month, day, 12, tzinfo=ZoneInfo(windows.timezone))
        key = windows.get_partition_key_for_timestamp(noon.timestamp())
    except ValueError as error:
        raise InputError("The date in a scene's name is one", str(error), repr(scene)) from None
    if not windows.has_partition_key(key):
        raise InputError("A scene's date is in one of the partitions that it reads", repr(scene),
                         where, "Declare partitions from an earlier date.")  # fmt: skip
    return key
