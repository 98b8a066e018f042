"""Backoff: what is waited, how often, and for what."""

from __future__ import annotations

import pytest

from geo_assets.engine.retry import Retry
from geo_assets.errors import InputError, TransientError


class Clock:
    def __init__(self):
        self.waits = []

    async def sleep(self, seconds):
        self.waits.append(seconds)


def failing(times, error=None):
    calls = []

    async def attempt():
        calls.append(1)
        if len(calls) <= times:
            raise error or TransientError("The store answers", "503")
        return len(calls)

    return attempt, calls


async def test_waits_double_up_to_the_longest():
    clock = Clock()
    retry = Retry(attempts=8, first_s=1, longest_s=10, sleep=clock.sleep, chance=lambda: 1.0)
    attempt, _ = failing(7)
    assert await retry.call(attempt) == 8
    assert clock.waits == [1, 2, 4, 8, 10, 10, 10]


async def test_jitter_takes_a_part_of_the_wait():
    clock = Clock()
    chances = iter([0.0, 0.5])
    retry = Retry(first_s=1, sleep=clock.sleep, chance=lambda: next(chances))
    await retry.call(failing(2)[0])
    assert clock.waits == [0.0, 1.0]


async def test_the_last_error_is_raised_when_attempts_are_used_up():
    clock = Clock()
    attempt, calls = failing(99)
    told = []
    with pytest.raises(TransientError, match="503"):
        await Retry(attempts=3, sleep=clock.sleep).call(
            attempt, on_retry=lambda error, wait: told.append((error.got, wait))
        )
    assert len(calls) == 3
    assert [wait for _, wait in told] == clock.waits
    assert len(told) == 2


@pytest.mark.parametrize("error", [InputError("A scene has a CRS"), KeyError("bug"), OSError(28)])
async def test_other_errors_are_not_repeated(error):
    attempt, calls = failing(1, error)
    with pytest.raises(type(error)):
        await Retry().call(attempt)
    assert len(calls) == 1


def test_real_jitter_stays_in_bounds():
    retry = Retry(first_s=0.25, longest_s=20)
    for failures in range(1, 200):
        assert 0 <= retry.wait_s(failures) <= min(20, 0.25 * 2 ** (failures - 1))
