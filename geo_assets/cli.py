"""The command line: `geo-assets`."""

from __future__ import annotations

import click

from geo_assets.commands.check import check
from geo_assets.commands.demo import demo
from geo_assets.commands.ls import gc, ls, show
from geo_assets.commands.plan import plan
from geo_assets.commands.profile import profile
from geo_assets.commands.run import run


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="geo_assets")
def main() -> None:
    """Heavy GIS work as asynchronous Dagster assets.

    Sources are read from GEO_ASSETS_SOURCE, results are published under GEO_ASSETS_ROOT: folders
    or URLs. Each command has its own --help.
    """


for _command in (check, demo, gc, ls, plan, profile, run, show):
    main.add_command(_command)
