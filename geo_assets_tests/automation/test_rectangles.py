"""Partitions with two dimensions are covered by rectangles; Dagster expands them alike."""

from __future__ import annotations

from itertools import product

import dagster as dg
import pytest
from dagster._core.definitions.automation_tick_evaluation_context import (
    build_run_requests_with_backfill_policies,
)
from dagster._core.definitions.events import AssetKeyPartitionKey
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.errors import ConfigError, InputError
from geo_assets.rectangles import enclosing_runs, exact_runs, keys_between
from geo_assets.upstream import Upstream

DAYS = dg.DailyPartitionsDefinition(start_date="2026-06-01", end_date="2026-06-09")
REGIONS = dg.StaticPartitionsDefinition(["north", "middle", "south", "east"])
BY_NAME = {
    "days-first": dg.MultiPartitionsDefinition({"date": DAYS, "region": REGIONS}),
    "days-second": dg.MultiPartitionsDefinition({"when": DAYS, "area": REGIONS}),
    "no-days": dg.MultiPartitionsDefinition(
        {"a": REGIONS, "b": dg.StaticPartitionsDefinition(["x", "y", "z"])}
    ),
}
ALL = {name: list(definition.get_partition_keys()) for name, definition in BY_NAME.items()}


def expanded(definition: dg.PartitionsDefinition, first: str, last: str) -> set[str]:
    """What a run with such a range covers, as Dagster says."""
    return set(definition.get_partition_keys_in_range(dg.PartitionKeyRange(first, last)))


@st.composite
def wanted(draw):
    name = draw(st.sampled_from(sorted(BY_NAME)))
    return name, draw(st.sets(st.sampled_from(ALL[name])))


@given(wanted())
def test_exact_runs_hold_all_that_is_wanted_once_and_nothing_else(drawn):
    name, keys = drawn
    runs = list(exact_runs(BY_NAME[name], keys, ALL[name]))
    for run in runs:
        assert set(run) == expanded(BY_NAME[name], run[0], run[-1])
    listed = [key for run in runs for key in run]
    assert sorted(listed) == sorted(keys)


@given(wanted(), st.integers(1, 40), st.integers(1, 4))
def test_enclosing_runs_hold_all_that_is_wanted(drawn, worth, most):
    name, keys = drawn
    runs = enclosing_runs(BY_NAME[name], keys, ALL[name], worth=worth, most=most)
    covered = [expanded(BY_NAME[name], run.start, run.end) for run in runs]
    assert keys <= {key for run in covered for key in run}
    assert sum(run.wanted for run in runs) == len(keys)
    assert len(runs) <= most
    assert sum(map(len, covered)) == len({key for run in covered for key in run})


def test_scattered_keys_are_one_rectangle():
    definition = BY_NAME["days-first"]
    (run,) = enclosing_runs(definition, ["2026-06-02|south", "2026-06-05|north"], ALL["days-first"])
    assert (run.start, run.end, run.wanted) == ("2026-06-02|north", "2026-06-05|south", 2)


def test_a_full_table_is_one_run():
    for name, definition in BY_NAME.items():
        (run,) = exact_runs(definition, ALL[name], ALL[name])
        assert run == ALL[name] or set(run) == set(ALL[name])


def test_a_range_on_the_command_line_is_a_rectangle():
    definition, order = BY_NAME["days-first"], ALL["days-first"]
    between = keys_between(definition, order, "2026-06-02|middle", "2026-06-03|south")
    assert between == [
        f"{day}|{region}"
        for day, region in product(("2026-06-02", "2026-06-03"), ("middle", "south"))
    ]
    assert keys_between(definition, order, "2026-06-02|south", "2026-06-03|north") == []


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_dagsters_own_backfill_of_a_rectangle_is_a_run_for_each_of_the_fewer_rows():
    """Why schedules and commands launch rectangles; one that does so too may have the job."""

    @dg.asset(partitions_def=BY_NAME["days-first"], backfill_policy=dg.BackfillPolicy.single_run())
    def cells() -> None: ...

    asked = [
        AssetKeyPartitionKey(cells.key, f"2026-06-0{day}|{region}")
        for day, region in product(range(1, 6), ("north", "middle", "south"))
    ]
    graph = dg.Definitions(assets=[cells]).resolve_asset_graph()
    with dg.DagsterInstance.ephemeral() as instance:
        runs = build_run_requests_with_backfill_policies(asked, graph, instance)
    assert len(runs) == 3


SCENES = dg.DynamicPartitionsDefinition(name="scenes")
TABLE = BY_NAME["days-first"]


@pytest.mark.parametrize(
    ("own", "of_input", "kind", "partition", "expected"),
    [
        (None, None, type(None), None, None),
        (DAYS, None, dg.AllPartitionMapping, "2026-06-02", None),
        (TABLE, None, dg.AllPartitionMapping, "2026-06-02|north", None),
        (DAYS, DAYS, dg.IdentityPartitionMapping, "2026-06-02", "2026-06-02"),
        (TABLE, TABLE, dg.IdentityPartitionMapping, "2026-06-02|north", "2026-06-02|north"),
        (TABLE, DAYS, dg.MultiToSingleDimensionPartitionMapping, "2026-06-02|east", "2026-06-02"),
        (TABLE, REGIONS, dg.MultiToSingleDimensionPartitionMapping, "2026-06-02|east", "east"),
        (SCENES, DAYS, dg.AllPartitionMapping, "S2_20260603T1000_T33", "2026-06-03"),
        (SCENES, DAYS, dg.AllPartitionMapping, "2026-06-03", "2026-06-03"),
    ],
)
@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_an_input_is_read_where_dagster_is_told(own, of_input, kind, partition, expected):
    upstream = Upstream(asset=("core", "zones"), own=own, partitions=of_input)
    mapping = upstream.dep().partition_mapping
    assert type(mapping) is kind
    assert upstream.key(partition) == expected
    if of_input is not None and own is not SCENES:
        mapped = mapping.get_upstream_mapped_partitions_result_for_partitions(
            own.subset_with_partition_keys([partition]), own, of_input
        )
        assert list(mapped.partitions_subset.get_partition_keys()) == [expected]


def test_months_are_those_of_the_date_in_a_name():
    months = dg.MonthlyPartitionsDefinition(start_date="2026-01-01", end_date="2026-12-01")
    upstream = Upstream(asset=("core", "zones"), own=SCENES, partitions=months)
    assert upstream.key("scene-2026-06-30-b") == "2026-06-01"


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        ("harbour", "has a date in its name"),
        ("1234567890", "has a date in its name"),
        ("2026-02-31", "The date in a scene's name is one"),
        ("2025-06-03", "is in one of the partitions"),
    ],
)
def test_a_scene_without_a_usable_date_is_refused(scene, message):
    upstream = Upstream(asset=("core", "zones"), own=SCENES, partitions=DAYS)
    with pytest.raises(InputError, match=message):
        upstream.key(scene)


def test_partitions_that_nothing_connects_are_refused():
    with pytest.raises(ConfigError, match="An input has no partitions"):
        Upstream(asset=("core", "zones"), own=DAYS, partitions=REGIONS)
    with pytest.raises(ConfigError, match="An input has no partitions"):
        Upstream(asset=("core", "zones"), own=None, partitions=DAYS)
