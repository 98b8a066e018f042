"""`geo-assets ls`, `show` and `gc`: what is published, and what may go."""

from __future__ import annotations

from collections.abc import Iterable

import click

from geo_assets.commands.shared import PASSED, exits, guarded, size

_EXITS = exits(_0="done", _2="nothing of the kind is published, or it cannot be read")


@click.command(short_help="List what is published.", epilog=_EXITS)
@click.argument("asset", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every object's address.")
@guarded
def ls(asset: str | None, *, as_json: bool) -> int:
    """List what is published: all assets, or the partitions of one.

    ASSET is an asset key with slashes, such as core/scene_tiles. Only commits are read.
    """
    from geo_assets.commands import listing

    objects = listing.published()
    if asset is not None:
        commits = listing.run(listing.newest(objects, asset, None))
        rows = listing.partition_rows(commits)
    else:
        assets = listing.run(listing.all_assets(objects))
        commits = [commit for of_asset in assets.values() for commit in of_asset]
        rows = listing.asset_rows(assets)
    if as_json:
        click.echo(listing.as_json(objects, commits))
    elif not commits:
        click.echo(f"Nothing is published in {objects.uri}.")
    else:
        _table(listing.table(rows))
    return PASSED


@click.command(short_help="Show an artifact: addresses, versions, properties.", epilog=_EXITS)
@click.argument("asset")
@click.option("--partition", metavar="KEY", help="Its partition, if it has several.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every property.")
@guarded
def show(asset: str, partition: str | None, *, as_json: bool) -> int:
    """Show an artifact: where its objects lie, its versions, its properties.

    ASSET is an asset key with slashes. The addresses are those that GDAL, DuckDB or a browser
    takes. Without --partition an asset with several shows the newest one.
    """
    from geo_assets.commands import listing

    objects = listing.published()
    commits = listing.run(listing.newest(objects, asset, partition))
    if as_json:
        click.echo(listing.as_json(objects, commits))
        return PASSED
    commit = max(commits, key=lambda item: item.created)
    artifact = commit.artifact
    click.secho(artifact.label, bold=True)
    if len(commits) > 1:
        click.echo(f"the newest of {len(commits)} partitions; --partition shows another")
    click.echo(f"version {artifact.version}, published {listing.when(commit.created)}")
    for label, version in sorted(commit.inputs.items()):
        click.echo(f"made of {label}, version {version[:12]}")
    for title, rows in (
        ("Objects", listing.object_rows(objects, artifact)),
        ("Versions", listing.version_rows(listing.run(listing.history(objects, commit)))),
        ("Properties", listing.property_rows(artifact.properties)),
    ):
        click.secho(f"\n{title}", bold=True)
        lines = listing.table(rows)
        if title == "Properties":
            for line in lines:
                click.echo(f"  {line}")
        else:
            _table(lines, indent="  ")
    return PASSED


@click.command(short_help="Delete the objects of old versions.", epilog=_EXITS)
@click.argument("asset", required=False)
@click.option("--keep", type=click.IntRange(min=1), required=True, metavar="N",
              help="Versions of each partition that stay, the current one included.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@guarded
def gc(asset: str | None, keep: int, *, dry_run: bool) -> int:
    """Delete the objects of old versions and of attempts that nobody can finish any more.

    ASSET is an asset key with slashes; by default all. Commits stay, so the history can still be
    read. Runs that are under way are not harmed; a reader of a deleted version is.
    """
    from geo_assets.commands import listing

    objects = listing.published()
    if asset is None:
        keys = list(listing.run(listing.all_assets(objects)))
    else:
        listing.run(listing.newest(objects, asset, None))
        keys = [listing.asset_key(asset)]
    done = listing.run(listing.collect(objects, keys, keep=keep, dry_run=dry_run))
    word = "would delete" if dry_run else "deleted"
    for label, collected in done:
        if collected.objects:
            number = len(collected.folders)
            versions = f"{number} version" if number == 1 else f"{number} versions"
            click.echo(f"{label:34} {word} {versions}, {collected.objects} objects, "
                       f"{size(collected.bytes)}")  # fmt: skip
    objects_gone = sum(collected.objects for _, collected in done)
    bytes_gone = sum(collected.bytes for _, collected in done)
    click.echo(f"{word.capitalize()} {objects_gone} objects, {size(bytes_gone)} of "
               f"{len(done)} partitions.")  # fmt: skip
    return PASSED


def _table(lines: Iterable[str], indent: str = "") -> None:
    """Lines of which the first is a heading."""
    for number, line in enumerate(lines):
        click.secho(f"{indent}{line}", dim=(number == 0) or None)
