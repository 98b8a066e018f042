"""Dagster's daemon, looking at backfills every two seconds and not every thirty."""

from __future__ import annotations

from dagster._daemon import controller

controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2

if __name__ == "__main__":
    from dagster._daemon.cli import main

    main()
