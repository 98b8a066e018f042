"""`geo-assets profile`."""

from __future__ import annotations

from pathlib import Path

import click

from geo_assets.commands.shared import FAILED, PASSED, definitions_option, exits, guarded


@click.command(
    short_help="Record where the time of one partition goes.",
    epilog=exits(
        _0="the recording is written",
        _1="the partition could not be made; what was recorded until then is written",
        _2="nothing was recorded: py-spy is missing or not allowed, unknown asset or partition",
    ),
)
@click.argument("asset")
@click.option("--partition", metavar="KEY", help="The partition, where the asset has some.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write: a name in .svg gives a flame graph, any other a file for speedscope.app.",
)
@click.option("--rate", type=click.IntRange(1, 1000), default=100, show_default=True,
              help="Samples in a second.")  # fmt: skip
@definitions_option
@guarded
def profile(
    asset: str, partition: str | None, output: Path | None, rate: int, definitions: str
) -> int:
    """Make one partition under py-spy: the event loop and all workers, as a flame graph.

    It is made from its published inputs into a folder that is deleted afterwards, always anew
    and to the end. Nothing is published, and nothing that is published is touched. ASSET is a
    key such as core/scene_tiles.
    """
    from geo_assets.commands.profiling import record

    name = asset.replace("/", "-") + (f"-{partition}" if partition else "")
    file = output or Path(f"profile-{name}.speedscope.json")
    recorded = record(asset, partition, definitions, file, rate)
    if recorded.error:
        click.secho(f"FAILED: {recorded.error}", fg="red")
    for line in recorded.lines:
        click.echo(line)
    where = "" if file.suffix == ".svg" else "; open it at https://www.speedscope.app"
    click.secho(f"Recorded in {file}{where}.", bold=True)
    return FAILED if recorded.error else PASSED
