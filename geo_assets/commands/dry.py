"""What stands in a plan where a run would fetch or compute: it says so, and does neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from geo_assets.model import Artifact
from geo_assets.resources import GeoStore
from geo_assets.sources import SourceObject, Sources
from geo_assets.store.objects import S3Access

DECLARATION = "its declaration or code changed"


@dataclass(frozen=True, slots=True)
class WouldFetchError(Exception):
    """The source is other than what was published: planning stops where a run would fetch."""

    item: SourceObject
    input_bytes: int
    """Of all files that would be fetched with it."""

    def why(self, newest: Artifact | None) -> str:
        """What is other than in the current version."""
        if newest is None:
            return f"{self.item.path} is new"
        if self.item.identity() in newest.properties.get("sources", ()):
            return DECLARATION
        return f"{self.item.path} is changed"


class _Listing(Sources):
    """Sources that can be listed, and that say so when one would be fetched."""

    def __init__(self, base: str, s3: S3Access | None) -> None:
        super().__init__(base, s3)
        self._together: dict[str, int] = {}

    async def find(
        self, text: str, *, partition: str | None = None, bands: Sequence[str] = ()
    ) -> list[SourceObject]:
        """As a run would, and note the bytes of what belongs together."""
        found = await super().find(text, partition=partition, bands=bands)
        total = sum(item.size for item in found)
        self._together |= dict.fromkeys((item.path for item in found), total)
        return found

    async def fetch(self, text: str, item: SourceObject, folder: Path) -> NoReturn:
        """Refuse."""
        del text, folder
        raise WouldFetchError(item, self._together[item.path])


class NoEngine:
    """Stands where a recipe expects workers, and says so when it would need one."""

    def __getattr__(self, name: str) -> Any:
        raise NeedsWorkersError(name)


class NeedsWorkersError(Exception):
    """How many chunks there are is only known by computing."""


class PlanningStore(GeoStore):
    """The store of a plan."""

    def sources(self) -> Sources:
        """Sources of which nothing is fetched."""
        real = super().sources()
        return _Listing(real._base, real._s3)  # noqa: SLF001
