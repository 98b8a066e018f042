"""`geo-assets plan`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from geo_assets.commands.shared import (
    PASSED,
    definitions_option,
    exits,
    guarded,
    partition_option,
    partitions_option,
    selection_argument,
)


@click.command(
    short_help="Show what a run would do.",
    epilog=exits(_0="done", _2="wrong selection, unknown partition, a source that is not there"),
)
@selection_argument
@partition_option
@partitions_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every partition.")
@definitions_option
@guarded
def plan(
    selection: str | None,
    single: tuple[str, ...],
    span: str | None,
    definitions: str,
    *,
    as_json: bool,
) -> int:
    """Show what `geo-assets run` would do with the same arguments; nothing is fetched or made.

    A partition is current, stale (its sources, inputs, declaration or code changed), missing, or
    waits for an asset that would be made first.

    \b
    chunks  that would be done
    reads   bytes of sources or published inputs
    memory  that the largest chunk is expected to need

    A question mark stands where only the run can tell.
    """  # noqa: D301 - click knows lines that are not to be wrapped by a backspace
    from geo_assets.commands import listing, planning, project

    loaded = project.load(definitions)
    keys, _ = loaded.selected(selection)
    with project.open_instance(record=False) as instance:
        partitions = planning.partitions_by_asset(loaded, instance, keys, single, span)
    planned = planning.wait(loaded, keys, partitions)
    if as_json:
        click.echo(json.dumps([asdict(item) for item in planned], indent=1, ensure_ascii=False))
        return PASSED
    for at, line in enumerate(listing.table(planning.rows(planned))):
        click.secho(line, dim=(at == 0) or None)
    todo = sum(item.state != "current" for item in planned)
    click.secho(
        f"{todo} of {len(planned)} would be made." if todo else "Everything is current.", bold=True
    )
    return PASSED
