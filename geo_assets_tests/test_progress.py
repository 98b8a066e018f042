"""How often a log is told, and what."""

from __future__ import annotations

from geo_assets.progress import EVERY_S, FIRST_S, Pace, duration


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def paced(what="chunks"):
    clock, lines = Clock(), []
    return clock, lines, Pace(lines.append, what, clock=clock)


def test_a_quick_job_is_told_once_at_its_end():
    clock, lines, pace = paced()
    for done in range(1, 5):
        clock.now += 0.5
        pace(done, 4)
    assert lines == ["4 of 4 chunks done (100%), 2/s, in 2.0 s"]


def test_a_long_job_is_told_at_a_calm_interval_with_rate_and_time_left():
    clock, lines, pace = paced("partitions")
    for done in range(1, 1001):
        clock.now += 0.125
        pace(done, 1000, ", 1 failed" if done > 500 else "")
    assert len(lines) == 1 + (125 - FIRST_S) // EVERY_S
    assert lines[0] == "40 of 1000 partitions done (4%), 8/s, about 2 min 00 s left"
    assert lines[2].endswith("left, 1 failed")
    assert lines[-1].endswith("in 2 min 05 s, 1 failed")


def test_resumed_chunks_set_no_rate():
    clock, lines, pace = paced()
    clock.now = 10.0
    pace(91, 100)
    assert lines == ["91 of 100 chunks done (91%), 0.1/s, about 1 min 30 s left"]


def test_counting_anew_is_timed_anew_and_one_chunk_is_not_worth_a_line():
    clock, lines, pace = paced()
    pace(1, 1)
    clock.now = 3.0
    pace(1, 2)
    clock.now = 4.0
    pace(2, 2)
    assert lines == ["2 of 2 chunks done (100%), 2/s, in 1.0 s"]


def test_durations():
    assert [duration(x) for x in (4.12, 192, 7500)] == ["4.1 s", "3 min 12 s", "2 h 05 min"]
