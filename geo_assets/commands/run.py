"""`geo-assets run`."""

from __future__ import annotations

import time

import click

from geo_assets.commands.shared import (
    FAILED,
    PASSED,
    definitions_option,
    exits,
    guarded,
    partition_option,
    partitions_option,
    selection_argument,
    size,
)
from geo_assets.progress import duration


@click.command(
    short_help="Materialize a selection and check it.",
    epilog=exits(
        _0="everything was made or is current, and no blocking check failed",
        _1="something could not be made; everything else was",
        _2="nothing was tried: wrong selection, unknown partition, wrong configuration",
    ),
)
@selection_argument
@partition_option
@partitions_option
@definitions_option
@guarded
def run(selection: str | None, single: tuple[str, ...], span: str | None, definitions: str) -> int:
    """Materialize a selection, with its checks, in this process.

    SELECTION is Dagster's: group:core, key:"core/events", core/events+; by default everything.
    Without --partition the partitions are those whose sources exist now; new scenes are
    registered first. What is current already is left alone, and an interrupted run goes on from
    the chunks that it had finished. Checks that find something are shown; `geo-assets check`
    makes them fail.
    """
    from geo_assets.commands import project
    from geo_assets.commands.materializing import materialize
    from geo_assets.commands.teller import Teller

    started = time.monotonic()
    loaded = project.load(definitions)
    keys, _ = loaded.selected(selection)
    teller = Teller()
    with project.open_instance() as instance:
        log = project.log_file(instance, "run")
        with project.quiet(log), teller.listening():
            runs = materialize(loaded, instance, keys, teller.tell, single=single, span=span)
    passed = all(each.success for each in runs)
    made, current = sum(each.made for each in runs), sum(each.current for each in runs)
    peak = max((each.peak_bytes for each in runs), default=0)
    memory = f", at most {size(peak)} of memory" if peak and made else ""
    teller.line(
        f"{'Done' if passed else 'FAILED'}: {made} made, {current} current already, "
        f"{duration(time.monotonic() - started)}{memory}.",
        bold=True,
    )
    return PASSED if passed else FAILED
