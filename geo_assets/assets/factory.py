"""Makes Dagster assets of recipes; every factory of the project goes through here."""

# Dagster reads the annotations of asset functions as objects, not as text, so this module does
# without `from __future__ import annotations`.

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import dagster as dg

from geo_assets.assets.body import Plan, materialize
from geo_assets.dagster_internals import preview_features
from geo_assets.resources import GeoEngine, GeoStore
from geo_assets.settings import Settings

HEAVY = "heavy"
"""The Dagster pool of steps that use all workers: one at a time on a host."""

Planner: TypeAlias = Callable[[GeoStore], Plan]
"""Given the store of a run, how each partition is planned."""

_planners: WeakKeyDictionary[Any, Planner] = WeakKeyDictionary()
"""By the op of the asset, which is the same object in every copy that Dagster makes of it."""


def planner_of(asset: dg.AssetsDefinition) -> Planner | None:
    """The planner of an asset made here; None for any other asset."""
    return _planners.get(asset.node_def)


def recipe_asset(
    key: Sequence[str],
    planner: Planner,
    *,
    description: str,
    kinds: set[str],
    deps: Sequence[Any] = (),
    partitions: dg.PartitionsDefinition[Any] | None = None,
    owners: Sequence[str] = (),
    heavy: bool = True,
    automation: dg.AutomationCondition[Any] | None = None,
) -> dg.AssetsDefinition:
    """An asset whose partitions are made by recipes.

    The group is the layer, the key is the storage path. A run may cover any number of partitions;
    those of a backfill cover as many as `GEO_ASSETS_RUN_PARTITIONS` allows.

    Args:
        key: The asset key.
        planner: Plans each partition.
        description: What the UI says of it; Markdown.
        kinds: Icons in the UI.
        deps: Upstream assets.
        partitions: The partitions, if any.
        owners: Dagster owners: `team:geo` or an e-mail address.
        heavy: It uses all workers: one such step at a time on a host.
        automation: When it is made without being asked for, once that is switched on.
    """
    partitioning: dict[str, Any] = {}
    if partitions is not None:
        with preview_features():
            policy = _backfills(Settings.from_env().run_partitions)
        partitioning = {"partitions_def": partitions, "backfill_policy": policy}

    with preview_features():

        @dg.asset(  # type: ignore[untyped-decorator]
            key=list(key),
            group_name=key[0],
            owners=list(owners) or None,
            kinds=kinds,
            deps=list(deps),
            description=description,
            output_required=False,
            pool=HEAVY if heavy else None,
            automation_condition=automation,
            **partitioning,
        )
        async def asset(  # type: ignore[no-untyped-def]  # noqa: ANN202 - Dagster would check it
            context: dg.AssetExecutionContext, geo_store: GeoStore, geo_engine: GeoEngine
        ):
            plan = planner(geo_store)
            async for event in materialize(context, plan, store=geo_store, engine=geo_engine):
                yield event

    _planners[asset.node_def] = planner
    made: dg.AssetsDefinition = asset
    return made


def _backfills(most: int) -> dg.BackfillPolicy:
    return dg.BackfillPolicy.multi_run(most) if most else dg.BackfillPolicy.single_run()
