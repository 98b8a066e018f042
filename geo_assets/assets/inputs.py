"""How recipes find the versions that they read."""

from __future__ import annotations

from geo_assets.errors import InputError
from geo_assets.model import Artifact
from geo_assets.store.artifact import ArtifactStore
from geo_assets.upstream import Upstream


async def newest_input(store: ArtifactStore, upstream: Upstream, partition: str | None) -> Artifact:
    """The current version of an input that belongs to a partition.

    Args:
        store: What is published.
        upstream: The input.
        partition: The partition that reads it.

    Raises:
        InputError: It was never materialized, or none belongs to the partition.
    """
    key = upstream.key(partition)
    artifact = await store.newest(upstream.asset, key)
    if artifact is None:
        name = "/".join(upstream.asset)
        place = name if key is None else f"{name}[{key}]"
        raise InputError("An input is materialized before it is read", "no version", place,
                         f"Materialize {name} first.")  # fmt: skip
    return artifact
