"""`geo-assets check`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from geo_assets.commands.shared import (
    definitions_option,
    exits,
    guarded,
    partition_option,
    partitions_option,
    selection_argument,
)


@click.command(
    short_help="Run asset checks on what is committed.",
    epilog=exits(
        _0="every check passed; one of severity WARN may have found something",
        _1="a check of severity ERROR failed, whatever else happened",
        _2="none failed, but one could not run: nothing is materialized, a wrong selection",
    ),
)
@selection_argument
@partition_option
@partitions_option
@click.option(
    "--changed-since",
    "since",
    metavar="VERSION",
    help="Only what was published after it: a version or a run id (or its first characters, see "
    "`show`), a time such as 2026-11-24T04:00, or a commit number, which each partition counts.",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Believe objects by their size where no check needs their content; else their SHA-256 "
    "is compared too.",
)
@click.option("--warn-as-error", is_flag=True, help="A check of severity WARN fails, too.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write JUnit XML.")
@click.option("--json", "json_file", metavar="FILE|-", help="Write JSON; - is stdout.")
@click.option("--github", is_flag=True, help="Print annotations that GitHub Actions shows.")
@click.option("--no-record", is_flag=True, help="Leave no trace in the Dagster instance.")
@definitions_option
@guarded
def check(
    selection: str | None,
    single: tuple[str, ...],
    span: str | None,
    since: str | None,
    junit: Path | None,
    json_file: str | None,
    definitions: str,
    *,
    quick: bool,
    warn_as_error: bool,
    github: bool,
    no_record: bool,
) -> int:
    """Run asset checks on what is committed; nothing is made.

    SELECTION is Dagster's: group:core, key:"core/events", core/events+, tag:..., and, or, not;
    by default everything. Without --partition every committed partition is checked.

    Verdicts are recorded in the Dagster instance ($DAGSTER_HOME, else .dagster_home here), so
    that the UI shows them.
    """
    from geo_assets.commands import checking, project, reports
    from geo_assets.commands.teller import Teller

    started = time.monotonic()
    loaded = project.load(definitions)
    _, checks = loaded.selected(selection)
    scope = checking.Scope(single=single, span=span, since=since, quick=quick)
    to_stderr = json_file == "-"
    teller = Teller(sys.stderr if to_stderr else sys.stdout)
    with project.open_instance(record=not no_record) as instance:
        log = project.log_file(instance, "check")
        with project.quiet(log), teller.listening():
            verdicts = checking.check(loaded, instance, checks, scope, teller.watch)
    code = reports.exit_code(verdicts, warn_as_error=warn_as_error)
    seconds = time.monotonic() - started
    for status, line in reports.lines(verdicts):
        teller.line(line, fg=_COLOURS.get(status))
    teller.line(f"{reports.summary(verdicts)} ({seconds:.1f} s)", bold=True)
    if github:
        for line in reports.as_github(verdicts, warn_as_error=warn_as_error):
            click.echo(line, err=to_stderr)
    if junit is not None:
        _write(junit, reports.as_junit(verdicts, warn_as_error=warn_as_error))
    if json_file is not None:
        text = reports.as_json(verdicts, code=code, seconds=seconds)
        click.echo(text) if to_stderr else _write(Path(json_file), text + "\n")
    return code


_COLOURS = {"warned": "yellow", "failed": "red", "unable": "magenta"}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
