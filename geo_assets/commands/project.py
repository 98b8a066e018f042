"""The project that commands work on: its definitions, its Dagster instance, its partitions."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.assets.factory import planner_of
from geo_assets.dagster_internals import preview_features
from geo_assets.errors import ConfigError
from geo_assets.rectangles import keys_between
from geo_assets.resources import GeoStore
from geo_assets.settings import Settings
from geo_assets.store.artifact import ArtifactStore

DAGSTER_HOME = ".dagster_home"


@dataclass(frozen=True)
class Project:
    """Definitions and what they say."""

    defs: dg.Definitions

    @cached_property
    def graph(self) -> Any:
        """Dagster's asset graph."""
        return self.defs.resolve_asset_graph()

    @cached_property
    def geo_store(self) -> GeoStore:
        """Where results are and sources come from.

        Raises:
            ConfigError: The definitions have no such resource.
        """
        store = (self.defs.resources or {}).get("geo_store")
        if not isinstance(store, GeoStore):
            raise ConfigError("Definitions have a resource geo_store", repr(store), "definitions",
                              "Put them together with geo_assets.assembly.assemble.")  # fmt: skip
        return store

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """The published versions."""
        return self.geo_store.artifacts()

    def selected(self, selection: str | None) -> tuple[list[dg.AssetKey], list[dg.AssetCheckKey]]:
        """The materializable assets of a selection in topological order, and its checks.

        Raises:
            ConfigError: It cannot be read, or selects nothing.
        """
        try:
            with preview_features():
                chosen = dg.AssetSelection.from_string(selection or "*")
                keys = chosen.resolve(self.graph)
                checks = chosen.resolve_checks(self.graph)
        except Exception as error:
            raise ConfigError(
                "A selection is one that Dagster reads",
                str(error),
                repr(selection),
                "Write for example group:core, core/events+, or with and, or, not: "
                'key:"core/events" or key:"raw/events".',
            ) from error
        if not keys and not checks:
            raise ConfigError("A selection selects something", "nothing", repr(selection),
                              "Run `geo-assets plan` to see the assets.")  # fmt: skip
        order = [key for key in self.graph.toposorted_asset_keys if key in keys]
        makeable = self.graph.materializable_asset_keys
        return [key for key in order if key in makeable], sorted(checks)

    def partitions(self, key: dg.AssetKey | dg.AssetCheckKey) -> Any:
        """The partitions definition of an asset or a check, if it has one."""
        return self.graph.get(key).partitions_def

    def is_ours(self, key: dg.AssetKey) -> bool:
        """Whether a factory of this package made the asset."""
        return planner_of(self.graph.get(key).assets_def) is not None

    def ancestors(self, key: dg.AssetKey) -> set[dg.AssetKey]:
        """Everything upstream of an asset."""
        return set(self.graph.get_ancestor_asset_keys(key))

    async def in_source(self, definition: Any) -> list[str]:
        """The partitions that a source has now, of the assets here that read one."""
        found: dict[str, None] = {}
        for key in self.graph.toposorted_asset_keys:
            node = self.graph.get(key)
            declared = self._declaration(node) if node.partitions_def == definition else None
            if declared is not None and not node.parent_keys:
                sources = self.geo_store.sources()
                bands = getattr(declared, "bands", ())
                found |= {name: None async for name in sources.partitions(declared.source, bands)}
        return list(found)

    @staticmethod
    def _declaration(node: Any) -> Any:
        """The scene series or layer that a factory bound to the asset's planner."""
        planner = planner_of(node.assets_def)
        bound = getattr(planner, "args", ())
        return bound[0] if bound and hasattr(bound[0], "source") else None


def load(name: str) -> Project:
    """The project whose definitions are in a module or a file.

    Raises:
        ConfigError: There is no such module or file, or it holds no single Definitions.
    """
    module = _from_file(Path(name)) if name.endswith(".py") else _imported(name)
    found = [value for value in vars(module).values() if isinstance(value, dg.Definitions)]
    if len({id(value) for value in found}) != 1:
        raise ConfigError("A module holds one dagster.Definitions", f"{len(found)}", name)
    return Project(found[0])


def _imported(name: str) -> Any:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and name.startswith(error.name):
            raise ConfigError("The module of the definitions exists", str(error), name) from None
        raise
    finally:
        sys.path.remove(str(Path.cwd()))


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise ConfigError("The file of the definitions exists", "none", str(path))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def open_instance(*, record: bool = True, home: Path | None = None) -> dg.DagsterInstance:
    """The Dagster instance that runs are recorded in, or one that is forgotten.

    Args:
        record: False gives an instance in memory.
        home: Its folder; else `$DAGSTER_HOME`, else the folder that `make dev` shows.
    """
    if not record:
        return dg.DagsterInstance.ephemeral(settings={"telemetry": {"enabled": False}})
    if home is None and os.environ.get("DAGSTER_HOME"):
        return dg.DagsterInstance.get()
    home = home or Path(DAGSTER_HOME)
    home.mkdir(exist_ok=True)
    link = home / "dagster.yaml"
    if not link.exists() and Path("dagster.yaml").exists():
        link.symlink_to(Path("..") / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home.absolute())
    return dg.DagsterInstance.get()


@contextmanager
def quiet(log_file: Path | None) -> Iterator[None]:
    """Keep logs and warnings off the terminal: into a file, or without one errors only.

    With `GEO_ASSETS_LOG=json` they are wanted on stderr, and stay there.
    """
    if Settings.from_env().log_format == "json":
        yield
        return
    logger = logging.getLogger("geo_assets")
    before = logger.level
    if log_file is None:
        logger.setLevel(logging.ERROR)
    with log_file.open("w", encoding="utf-8") if log_file else nullcontext() as stream:
        try:
            with redirect_stderr(stream) if stream else nullcontext():
                yield
        finally:
            logger.setLevel(before)
            for handler in [item for item in logger.handlers if item.get_name() == "geo_assets"]:
                logger.removeHandler(handler)  # it writes into a file that is closed now


def log_file(instance: dg.DagsterInstance, command: str) -> Path | None:
    """Where the logs of a command go: beside the instance's records."""
    home = os.environ.get("DAGSTER_HOME")
    return Path(home) / f"{command}.log" if home and instance.is_persistent else None


def wanted_partitions(
    definition: Any, order: Sequence[str], single: Sequence[str], span: str | None
) -> list[str]:
    """The partitions that `--partition` and `--partitions` name, in the definition's order.

    Raises:
        ConfigError: A key is no partition.
    """
    wanted = set(single)
    first, dots, last = (span or "").partition("..")
    if span and not (first and dots and last):
        raise ConfigError("A range of partitions is written A..B", repr(span), "--partitions")
    unknown = [key for key in (*single, *([first, last] if span else [])) if key not in order]
    if unknown:
        near = f"{order[0]} to {order[-1]}" if order else "no partitions yet"
        where = str(definition).rstrip(".")
        raise ConfigError("A partition is one of its definition", unknown[0], where,
                          f"There are {near}.")  # fmt: skip
    if span:
        between = keys_between(definition, order, first, last)
        if not between:
            raise ConfigError("A range of partitions goes upwards", span, "--partitions")
        wanted |= set(between)
    return [key for key in order if key in wanted]


def known_keys(definition: Any, instance: dg.DagsterInstance) -> list[str]:
    """All keys of a partitions definition, in order."""
    return list(definition.get_partition_keys(dynamic_partitions_store=instance))


def register(definition: Any, instance: dg.DagsterInstance, keys: Sequence[str]) -> list[str]:
    """Add the keys that a dynamic partitions definition does not have yet; those added."""
    if not isinstance(definition, dg.DynamicPartitionsDefinition) or definition.name is None:
        return []
    known = set(instance.get_dynamic_partitions(definition.name))
    fresh = [key for key in keys if key not in known]
    if fresh:
        instance.add_dynamic_partitions(definition.name, fresh)
    return fresh
