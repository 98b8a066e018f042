"""What Dagster shows of an artifact: numbers, texts, a schema, and pictures that are small."""

from __future__ import annotations

import base64

import dagster as dg
import pytest

from geo_assets.metadata import artifact_metadata
from geo_assets.model import Artifact, OutputFile
from geo_assets.pictures.svg import LARGE_LIMIT
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import open_store


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    return ArtifactStore(open_store(str(tmp_path / "root")))


async def published(
    store: ArtifactStore, tmp_path, *, preview: bytes = b"", **properties
) -> Artifact:
    draft = await store.begin(("core", "x"), None, "0" * 32)
    path = tmp_path / "preview.webp"
    path.write_bytes(preview)
    facts = {"alt": "a [picture]", "title": "map"}
    file = OutputFile.of(path, path.name, "image/webp", roles=("overview",), facts=facts)
    stored = [await draft.stage(file)] if preview else []
    return await draft.commit(stored, properties=properties, inputs={}, run_id="run")


async def test_numbers_texts_and_the_schema_are_shown(store, tmp_path):
    artifact = await published(
        store, tmp_path, rows=7, columns={"id": "int64"}, crs={"wkt": "not shown"},
        numbers={"tiles": 3, "share": 0.5, "broken": None, "word": "x"}, texts={"grid": "square"},
    )  # fmt: skip
    shown = await artifact_metadata(store, artifact)
    assert shown["geo_assets/tiles"] == dg.MetadataValue.int(3)
    assert shown["geo_assets/share"] == dg.MetadataValue.float(0.5)
    assert shown["geo_assets/grid"] == dg.MetadataValue.text("square")
    assert shown["dagster/row_count"] == dg.MetadataValue.int(7)
    assert [(c.name, c.type) for c in shown["dagster/column_schema"].schema.columns] == [
        ("id", "int64")
    ]
    assert shown["geo_assets/commit"] == dg.MetadataValue.int(1)
    assert str(shown["dagster/uri"].value).startswith(str(tmp_path))
    assert not {"geo_assets/broken", "geo_assets/word", "geo_assets/crs"} & shown.keys()


async def test_a_preview_is_a_data_uri_with_its_alternative_text(store, tmp_path):
    artifact = await published(store, tmp_path, preview=b"RIFF-bytes")
    markdown = (await artifact_metadata(store, artifact))["map"].value
    assert markdown.startswith("![a (picture)](data:image/webp;base64,")
    assert base64.b64decode(markdown.rpartition(",")[2].rstrip(")")) == b"RIFF-bytes"


async def test_a_picture_that_would_bloat_the_event_log_is_left_out(store, tmp_path):
    artifact = await published(store, tmp_path, preview=bytes(LARGE_LIMIT), thumbnail="x" * 1000)
    shown = await artifact_metadata(store, artifact)
    assert not {"map", "thumbnail"} & shown.keys()
    small = "![x](data:image/svg+xml;base64,)"
    artifact = await published(ArtifactStore(open_store(str(tmp_path / "two"))), tmp_path,
                               thumbnail=small)  # fmt: skip
    assert (await artifact_metadata(store, artifact))["thumbnail"].value == small


async def test_a_histogram_of_the_bands_is_shown(store, tmp_path):
    bands = [{"name": "band 1", "low": 1.0, "high": 9.0, "histogram": [1, 5, 9, 2]}]
    artifact = await published(store, tmp_path, histogram=bands)
    shown = (await artifact_metadata(store, artifact))["histogram"].value
    assert shown.startswith("![band 1 1 to 9](data:image/svg+xml;base64,")
