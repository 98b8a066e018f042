"""The same job with its root on an S3 server over HTTP."""

from __future__ import annotations

import asyncio

import pytest
from dagster_aws.s3 import S3Resource

from geo_assets.io_manager import GeoS3IOManager
from geo_assets.resources import GeoStore
from geo_assets_tests.whole.conftest import DATES
from geo_assets_tests.whole.project import SCENES, failures, made, stored, verdicts


@pytest.fixture
def s3(s3_server) -> S3Resource:
    """As a user configures it: once."""
    return S3Resource(
        endpoint_url=s3_server.endpoint, region_name=s3_server.region,
        aws_access_key_id=s3_server.access_key, aws_secret_access_key=s3_server.secret,
    )  # fmt: skip


async def download(store, place: str) -> dict[str, bytes]:
    objects = store.objects
    return {meta.path: await objects.get(meta.path) async for meta in objects.list(place)}


def test_the_bytes_are_those_of_the_local_run(fresh, done, instance, s3, s3_server, capfd):
    bucket = s3_server.bucket()
    store = GeoStore(root=f"s3://{bucket}/some/prefix", source=str(fresh.source), s3=s3)
    manager = GeoS3IOManager(s3_resource=s3, s3_bucket=bucket, s3_prefix="some/prefix")
    ran = fresh.run(instance, *SCENES, partition=DATES[0], geo_store=store, io_manager=manager)
    assert ran.success, failures(ran)
    assert all(verdicts(ran, *SCENES[1]).values())
    (shown,) = made(ran, *SCENES[1]).values()
    assert shown["dagster/uri"].startswith(f"s3://{bucket}/some/prefix/core/scene_tiles/")

    local = {
        path: body for path, body in stored(done.project.root).items()
        if path.startswith(f"core/scene_tiles/{DATES[0]}/")
    }  # fmt: skip
    remote = asyncio.run(download(store.artifacts(), f"core/scene_tiles/{DATES[0]}/data"))
    assert remote == local
    assert not fresh.root.exists(), "nothing is written beside the bucket"
    told = capfd.readouterr()
    assert s3_server.secret not in told.out + told.err
    assert s3_server.secret not in str(ran.result.all_events)
