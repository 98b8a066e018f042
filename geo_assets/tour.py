"""`geo-assets demo`: the demo world through the whole graph, told as it happens."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import dagster as dg

from geo_assets.demo import WorldReport, build_world
from geo_assets.runner import RunReport, run_assets
from geo_assets.settings import Settings
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import open_store

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
    click.secho("3. What was planted, and what was found", bold=True)
    exact = _compare(settings, world, runs)
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


def _compare(settings: Settings, world: WorldReport, runs: Sequence[RunReport]) -> bool:
    """Print planted against found, kind by kind; whether they are the same by id."""
    districts = _district_defects(runs)
    events = asyncio.run(_event_defects(settings, sorted(world.truth["events"]["defects"])))
    rows = [
        (kind, "districts", _ids(planted), districts.get(_FOUND_AS[kind], set()))
        for kind, planted in sorted(world.truth["districts"]["defects"].items())
    ]
    for kind in ("nan", "swapped"):
        days = world.truth["events"]["defects"].values()
        planted = _ids(ids for day in days for ids in day.get(kind, ()))
        rows.append((kind, "events", planted, events.get(_FOUND_AS[kind], set())))
    click.echo(f"  {'planted':12} {'in':12} {'number':>6} {'found':>6}")
    for kind, layer, planted, found in rows:
        verdict = "the same, by id" if planted == found else _difference(planted, found)
        click.echo(f"  {kind:12} {layer:12} {len(planted):6} {len(found):6}  {verdict}")
    return all(planted == found for _, _, planted, found in rows)


_FOUND_AS = {
    "gap": "gap",
    "overlap": "overlap",
    "duplicate": "duplicate",
    "bowtie": "self_intersection",
    "nan": "non_finite",
    "swapped": "out_of_bounds",
}
"""How the rules call what the world calls otherwise."""


def _ids(planted: Iterable[Any]) -> set[str]:
    """Feature ids as findings write them: pairs joined by a plus sign."""
    return {"+".join(sorted(ids)) if isinstance(ids, list) else str(ids) for ids in planted}


def _sorted(ids: str) -> str:
    return "+".join(sorted(ids.split("+")))


def _district_defects(runs: Sequence[RunReport]) -> dict[str, set[str]]:
    """Ids by kind of defect, from the checks of the topology report."""
    found: dict[str, set[str]] = {}
    for check in (check for run in runs for check in run.checks):
        if check.asset_key.path == ["out", "topology_report"] and "samples" in check.metadata:
            for sample in check.metadata["samples"].value:
                found.setdefault(sample["kind"], set()).add(_sorted(sample["feature"]))
    return found


async def _event_defects(settings: Settings, days: Sequence[str]) -> dict[str, set[str]]:
    """Ids by reason, from the quarantine of each day."""
    store = ArtifactStore(open_store(settings.root))
    found: dict[str, set[str]] = {}
    for artifact in (await store.newest_of(("core", "events"), days)).values():
        for sample in artifact.properties["quarantine"]["samples"]:
            found.setdefault(sample["kind"], set()).add(sample["feature"])
    return found


def _difference(planted: set[str], found: set[str]) -> str:
    missed, extra = sorted(planted - found)[:3], sorted(found - planted)[:3]
    return f"DIFFERENT: missed {missed or 'none'}, too many {extra or 'none'}"


def _close(settings: Settings, runs: Sequence[RunReport], seconds: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    click.echo()
    state = "Done" if all(run.success for run in runs) else "FAILED"
    click.secho(f"{state} in {seconds:.0f} s; this process peaked at {peak:.0f} MiB.", bold=True)
    click.echo(f"  results  {settings.root}  (a STAC catalog: see */collection.json)")
    click.echo("  the UI   make dev, then http://localhost:3000")
