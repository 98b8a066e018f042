"""Dagster's daemon, looking at backfills and schedules every two seconds.

Dagster's own looks at backfills every thirty, and at schedules once a minute, of which the first
time only takes notice of them.
"""

from __future__ import annotations

from dagster._daemon import controller
from dagster._scheduler import scheduler

EVERY_S = 2

controller.DEFAULT_DAEMON_INTERVAL_SECONDS = EVERY_S
scheduler._get_next_scheduler_iteration_time = lambda began: began + EVERY_S

if __name__ == "__main__":
    from dagster._daemon.cli import main

    main()
