"""What Dagster shows of an artifact: numbers it plots, a table schema, pictures, addresses."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import dagster as dg

from geo_assets.model import Artifact
from geo_assets.store.artifact import ArtifactStore

INLINE_LIMIT = 999
"""Dagster shows Markdown inline below 1,000 characters, and behind a link from there on."""

PREVIEW_LIMIT = 32 << 10
"""Bytes of base64 that one picture may add to an event."""

ALT_SHOWN = 60
"""Characters of alternative text beside an inline picture."""


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
    for stored in artifact.with_role("overview"):
        alt = str(stored.facts.get("alt", stored.name))
        body = await store.read(artifact, stored.name)
        markdown = picture(body, stored.media_type, alt)
        if len(markdown) <= PREVIEW_LIMIT:
            metadata[str(stored.facts.get("title", "preview"))] = dg.MetadataValue.md(markdown)
    return metadata


def picture(body: bytes, media_type: str, alt: str) -> str:
    """A picture as Markdown with a data URI, which Dagster's UI renders."""
    data = base64.b64encode(body).decode()
    return f"![{alt.replace('[', '(').replace(']', ')')}](data:{media_type};base64,{data})"


def svg_markdown(svg: str, alt: str) -> str:
    """A tiny SVG as Markdown that Dagster shows inline, or nothing if it is too long for that."""
    short = alt if len(alt) <= ALT_SHOWN else alt[: ALT_SHOWN - 1] + "…"
    markdown = picture(svg.encode(), "image/svg+xml", short)
    return markdown if len(markdown) <= INLINE_LIMIT else ""
