"""Puts a project together: parts made by factories, resources from the settings."""

from __future__ import annotations

import os

import dagster as dg
from dagster_aws.s3 import S3Resource

from geo_assets.automation.jobs import automation
from geo_assets.io_manager import GeoIOManager
from geo_assets.resources import GeoEngine, GeoStore, preset
from geo_assets.settings import Settings


def assemble(*parts: dg.Definitions, settings: Settings | None = None) -> dg.Definitions:
    """Merge what the factories made, give it resources, and jobs and schedules.

    S3 credentials come from the usual places (environment, profile, instance role);
    `AWS_ENDPOINT_URL` points at another S3 server.

    Raises:
        ConfigError: A setting is wrong.
    """
    settings = settings or Settings.from_env()
    project = dg.Definitions.merge(
        *parts,
        dg.Definitions(
            resources=resources(settings),
            # One process runs a run's steps one after another: the parallelism is inside each
            # asset, and a process for each step would cost 5 s and its own worker pool.
            executor=dg.in_process_executor,
        ),
    )
    return dg.Definitions.merge(project, automation(project))


def resources(settings: Settings) -> dict[str, object]:
    """The resources that factory-made assets need."""
    s3 = S3Resource(
        endpoint_url=os.environ.get("AWS_ENDPOINT_URL"),
        region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
    )
    store = preset(GeoStore, root=settings.root, source=settings.source)(s3=s3)
    return {
        "geo_store": store,
        "geo_engine": GeoEngine.from_settings(settings),
        "io_manager": GeoIOManager(store=store),
    }
