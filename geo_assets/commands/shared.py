"""What all commands share: exit codes, errors, signals and common options."""

from __future__ import annotations

import functools
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from geo_assets.errors import GeoAssetsError

PASSED = 0
FAILED = 1
UNABLE = 2

selection_argument = click.argument("selection", required=False)
definitions_option = click.option(
    "-d",
    "--definitions",
    default="geo_assets.definitions",
    envvar="GEO_ASSETS_DEFINITIONS",
    show_default=True,
    metavar="MODULE|FILE",
    help="Where the Dagster definitions are.",
)
partition_option = click.option(
    "--partition", "single", multiple=True, metavar="KEY", help="One partition; repeatable."
)
partitions_option = click.option(
    "--partitions",
    "span",
    metavar="A..B",
    help="The partitions from A to B, both included.",
)


def exits(**meanings: str) -> str:
    """The end of a help text that says what the exit codes mean: `_0="passed", _1=...`."""
    lines = [f"  {code.strip('_')}  {meaning}" for code, meaning in meanings.items()]
    return "\n".join(["\b", "Exit code:", *lines])


def guarded(command: Callable[..., int]) -> Callable[..., NoReturn]:
    """Make the number that `command` returns the exit code, whatever else may happen.

    An error that is ours is one line on stderr and code 2, a bug a traceback and code 2: code 1
    is kept for what was looked at and found bad. SIGINT and SIGTERM end with 130 and 143.
    """

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> NoReturn:
        code = UNABLE
        with noted_signals() as seen:
            try:
                code = command(*args, **kwargs)
            except GeoAssetsError as error:
                complain(str(error))
            except KeyboardInterrupt:
                pass
            except BrokenPipeError:  # the reader of our output has left, as `head` does
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            except Exception:  # noqa: BLE001 - shown whole, and never mistaken for a failed check
                traceback.print_exc()
        if signals := seen():
            click.secho(f"Interrupted by {signals[0].name}.", err=True)
            code = 128 + signals[0]
        sys.exit(code)

    return run


def complain(message: str) -> None:
    """One clear line on stderr."""
    click.secho(f"Error: {message}", fg="red", err=True)


@contextmanager
def noted_signals() -> Iterator[Callable[[], list[signal.Signals]]]:
    """Take note of SIGINT and SIGTERM, whoever handles them; both interrupt.

    Dagster replaces the handlers while a run executes and ends the run by itself; which signal
    it was is known by this only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield list
        return
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)

    def seen() -> list[signal.Signals]:
        return noted

    noted: list[signal.Signals] = []
    try:
        yield seen
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, before)
        try:
            numbers = ours.recv(4096)
        except BlockingIOError:
            numbers = b""
        noted += [
            signal.Signals(number)
            for number in numbers
            if number in (signal.SIGINT, signal.SIGTERM)
        ]
        ours.close()
        theirs.close()


def size(number: float) -> str:
    """`14.2 MB`: bytes in powers of 1000, for people."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError
