"""How recipes find the versions that they read."""

from __future__ import annotations

from geo_assets.errors import InputError
from geo_assets.model import Artifact
from geo_assets.store.artifact import ArtifactStore


async def newest_input(
    store: ArtifactStore, asset: tuple[str, ...], partition: str | None
) -> Artifact:
    """The current version of an input.

    Raises:
        InputError: It was never materialized.
    """
    artifact = await store.newest(asset, partition)
    if artifact is None:
        name = "/".join(asset)
        place = name if partition is None else f"{name}[{partition}]"
        raise InputError("An input is materialized before it is read", "no version", place,
                         f"Materialize {name} first.")  # fmt: skip
    return artifact
