"""Try again what may pass: exponential backoff with full jitter.

Only `TransientError` is repeated. A testing switch is the constructor: give a `sleep` that does
not wait.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from geo_assets.errors import TransientError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and how soon a transient fault is tried again."""

    attempts: int = 5
    """Calls in all, the first one included."""
    first_s: float = 0.25
    """Longest wait before the second attempt, seconds; it doubles with every further one."""
    longest_s: float = 20.0
    """Upper bound of a wait, seconds."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """How to wait; tests pass one that does not."""
    chance: Callable[[], float] = random.random
    """A number in [0, 1): which part of the longest wait is really waited."""

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after that many failures (at least 1), jitter included."""
        longest = min(self.longest_s, self.first_s * 2.0 ** (failures - 1))
        return longest * self.chance()

    async def call(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        on_retry: Callable[[TransientError, float], None] | None = None,
    ) -> T:
        """Await `attempt()` until it gives a value.

        Args:
            attempt: Makes a new awaitable for every try.
            on_retry: Told the fault and the seconds until the next try.

        Raises:
            TransientError: The last one, when all attempts are used up. Any other error at once.
        """
        failures = 0
        while True:
            try:
                return await attempt()
            except TransientError as error:
                failures += 1
                if failures >= self.attempts:
                    raise
                wait = self.wait_s(failures)
                if on_retry is not None:
                    on_retry(error, wait)
            await self.sleep(wait)


NO_WAIT = Retry(sleep=lambda _seconds: asyncio.sleep(0))
"""The same number of attempts without the waits, for tests."""
