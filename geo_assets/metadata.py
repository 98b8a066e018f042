"""What Dagster shows of an artifact: numbers it plots, a table schema, pictures, addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from geo_assets.model import Artifact
from geo_assets.pictures.histogram import histogram_markdown
from geo_assets.pictures.svg import INLINE_LIMIT, LARGE_LIMIT, markdown
from geo_assets.store.artifact import ArtifactStore


async def artifact_metadata(
    store: ArtifactStore, artifact: Artifact
) -> dict[str, dg.MetadataValue]:
    """The metadata of one materialization, derived from what was committed.

    Reads at most one small object, the preview.
    """
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/uri": dg.MetadataValue.text(store.folder(artifact)),
        "geo_assets/version": dg.MetadataValue.text(artifact.version),
        "geo_assets/commit": dg.MetadataValue.int(artifact.sequence),
        "geo_assets/objects": dg.MetadataValue.int(len(artifact.objects)),
        "geo_assets/bytes": dg.MetadataValue.int(sum(item.size for item in artifact.objects)),
    }
    metadata |= _numbers(artifact.properties.get("numbers", {}))
    metadata |= _texts(artifact.properties.get("texts", {}))
    metadata |= _table(artifact.properties)
    metadata |= _pages(store, artifact)
    metadata |= await _pictures(store, artifact)
    return metadata


def _pages(store: ArtifactStore, artifact: Artifact) -> dict[str, dg.MetadataValue]:
    """Where maps lie: a link where a browser can follow it, else the address to copy."""
    metadata: dict[str, dg.MetadataValue] = {}
    for stored in artifact.with_role("map"):
        address = store.address(artifact, stored.name)
        web = address.startswith(("https://", "http://"))
        metadata["map"] = dg.MetadataValue.url(address) if web else dg.MetadataValue.path(address)
    return metadata


def _numbers(numbers: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    return {
        f"geo_assets/{key}": dg.MetadataValue.int(value)
        if isinstance(value, int)
        else dg.MetadataValue.float(value)
        for key, value in numbers.items()
        if isinstance(value, int | float)
    }


def _texts(texts: Mapping[str, str]) -> dict[str, dg.MetadataValue]:
    return {f"geo_assets/{key}": dg.MetadataValue.text(value) for key, value in texts.items()}


def _table(properties: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    columns = properties.get("columns")
    metadata: dict[str, dg.MetadataValue] = {}
    if columns:
        schema = dg.TableSchema(
            columns=[dg.TableColumn(name=name, type=kind) for name, kind in columns.items()]
        )
        metadata["dagster/column_schema"] = dg.MetadataValue.table_schema(schema)
    if "rows" in properties:
        metadata["dagster/row_count"] = dg.MetadataValue.int(properties["rows"])
    return metadata


async def _pictures(store: ArtifactStore, artifact: Artifact) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {}
    thumbnail = artifact.properties.get("thumbnail")
    if thumbnail and len(thumbnail) <= INLINE_LIMIT:
        metadata["thumbnail"] = dg.MetadataValue.md(thumbnail)
    if histogram := histogram_markdown(artifact.properties.get("histogram", ())):
        metadata["histogram"] = dg.MetadataValue.md(histogram)
    for stored in artifact.with_role("overview"):
        alt = str(stored.facts.get("alt", stored.name))
        body = await store.read(artifact, stored.name)
        shown = markdown(body, stored.media_type, alt)
        if len(shown) <= LARGE_LIMIT:
            metadata[str(stored.facts.get("title", "preview"))] = dg.MetadataValue.md(shown)
    return metadata
