"""No coroutine of ours blocks the event loop while assets and checks run through Dagster.

Dagster stops the loop while it stores an event that an asset has yielded, so its own database
calls do not count. What is allowed is listed, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from geo_assets_tests.whole.conftest import DATES
from geo_assets_tests.whole.project import EVENTS, LAYER, SCENES, failures

ALLOWED = (
    # What a step asks the database once, before anything of it runs.
    ("context/asset_execution_context.py", ("partition_keys",)),
    ("context/asset_check_execution_context.py", ("partition_keys",)),
    ("context/compute.py", ("partition_keys",)),
    ("geo_assets/dagster_internals.py", ("of",)),
    # The current folder, to make the path of a local store absolute.
    ("geo_assets/store/local.py", ("__init__",)),
)


@pytest.fixture
def guard() -> Iterator[BlockBuster]:
    """Raises where a function of this package, in whatever it calls, blocks a running loop."""
    with blockbuster_ctx(["geo_assets"]) as active:
        for function in active.functions.values():
            for place, names in ALLOWED:
                function.can_block_in(place, names)
        yield active


def test_no_coroutine_blocks(fresh, instance, guard):
    for keys, options in (
        (LAYER, {}),
        (SCENES, {"span": DATES}),
        (EVENTS, {"partition": "2026-06-01"}),
    ):
        ran = fresh.run(instance, *keys, **options)
        assert ran.success, failures(ran)
        unable = [check.description for check in ran.checks if "Could not" in check.description]
        assert not unable
