"""The demo world through the whole graph, told as it happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from geo_assets.commands.materializing import materialize
from geo_assets.commands.project import DAGSTER_HOME, Project, load, log_file, open_instance, quiet
from geo_assets.commands.shared import size
from geo_assets.commands.teller import Teller
from geo_assets.demo import WorldReport, build_world
from geo_assets.progress import duration
from geo_assets.runner import RunReport
from geo_assets.settings import Settings


def tour(*, seed: int, size_px: int, polygons: int, events_per_day: int) -> bool:
    """Run the demo; whether every run succeeded and every planted defect was found."""
    started = time.monotonic()
    settings = Settings.from_env()
    teller = Teller()
    teller.line("1. A world with known defects", bold=True)
    world = build_world(
        settings.source,
        seed=seed,
        size_px=size_px,
        polygons=polygons,
        events_per_day=events_per_day,
    )
    teller.line(f"  {_world(world)} in {settings.source}")
    teller.line("2. Make everything from it, and check it", bold=True)
    project = load("geo_assets.definitions")
    with open_instance(home=Path(DAGSTER_HOME)) as instance:
        log = log_file(instance, "demo")
        with quiet(log), teller.listening():
            keys, _ = project.selected(None)
            runs = materialize(project, instance, keys, teller.tell)
    found = _found(project, runs, sorted(world.truth["events"]["defects"]))
    teller.line("3. What was planted, and what was found", bold=True)
    exact = _compare(teller, world, found)
    passed = exact and all(run.success for run in runs)
    _close(teller, settings, runs, passed=passed, seconds=time.monotonic() - started, log=log)
    return passed


def _world(world: WorldReport) -> str:
    files = len(world.written) + len(world.kept)
    how = f"{files} files" if world.written else f"{files} files, all there already"
    return f"{how}, {size(world.size)}"


def _compare(teller: Teller, world: WorldReport, found: dict[str, set[str]]) -> bool:
    """Show planted against found, kind by kind; whether they are the same by id."""
    rows = [
        (kind, "districts", _ids(ids))
        for kind, ids in sorted(world.truth["districts"]["defects"].items())
    ]
    days = world.truth["events"]["defects"].values()
    rows += [
        (kind, "events", _ids(one for day in days for one in day.get(kind, ())))
        for kind in ("nan", "swapped")
    ]
    teller.line(f"  {'defect':12} {'in':12} {'planted':>8} {'found':>8}", dim=True)
    same = True
    for kind, layer, planted in rows:
        ids = set[str]().union(*(found.get(name, ()) for name in _FOUND_AS[kind]))
        verdict = "the same ones" if planted == ids else _difference(planted, ids)
        text = f"  {kind:12} {layer:12} {len(planted):8} {len(ids):8}   {verdict}"
        teller.line(text, fg=None if planted == ids else "red")
        same = same and planted == ids
    return same


_FOUND_AS = {
    "gap": ("gap",),
    "overlap": ("overlap",),
    "duplicate": ("duplicate",),
    "bowtie": ("self_intersection",),
    "nan": ("non_finite",),
    "swapped": ("out_of_bounds", "swapped_axes"),
}
"""How the rules call what the world calls otherwise."""


def _ids(planted: Iterable[Any]) -> set[str]:
    """Feature ids as findings write them: pairs joined by a plus sign."""
    return {"+".join(sorted(ids)) if isinstance(ids, list) else str(ids) for ids in planted}


def _found(project: Project, runs: Sequence[RunReport], days: Sequence[str]) -> dict[str, set[str]]:
    """Ids by kind of defect: from the report's checks, and from the quarantine of the events."""
    found: dict[str, set[str]] = {}
    for check in (check for run in runs for check in run.checks):
        if check.asset_key.path == ["out", "topology_report"] and "samples" in check.metadata:
            samples: Any = check.metadata["samples"].value
            for sample in samples:
                ids = "+".join(sorted(sample["feature"].split("+")))
                found.setdefault(sample["kind"], set()).add(ids)
    artifacts = asyncio.run(project.artifacts.newest_of(("core", "events"), days))
    for artifact in artifacts.values():
        for sample in artifact.properties["quarantine"]["samples"]:
            found.setdefault(sample["kind"], set()).add(sample["feature"])
    return found


def _difference(planted: set[str], found: set[str]) -> str:
    missed, extra = sorted(planted - found)[:3], sorted(found - planted)[:3]
    parts = [f"missed {', '.join(missed)}"] if missed else []
    parts += [f"too many: {', '.join(extra)}"] if extra else []
    return "DIFFERENT: " + "; ".join(parts)


def _close(
    teller: Teller,
    settings: Settings,
    runs: Sequence[RunReport],
    *,
    passed: bool,
    seconds: float,
    log: Path | None,
) -> None:
    made, current = sum(run.made for run in runs), sum(run.current for run in runs)
    peak = max((run.peak_bytes for run in runs), default=0)
    teller.line()
    if made:
        memory = f", at most {size(peak)} of memory in all processes together" if peak else ""
        text = f"{made} versions published in {duration(seconds)}{memory}."
    else:
        text = f"Everything is current: {current} versions, looked at in {duration(seconds)}."
    teller.line(text if passed else f"FAILED. {text}", bold=True)
    teller.line(f"  results   {settings.root}, a STAC catalog; `geo-assets ls` lists it")
    teller.line("  the UI    make dev, then http://localhost:3000")
    if log is not None and log.exists() and log.stat().st_size:
        teller.line(f"  the log   {log}")
