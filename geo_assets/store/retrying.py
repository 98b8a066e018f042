"""Trying again what may pass, with exponential backoff and full jitter."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from geo_assets.errors import TransientError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How often and how patiently to try."""

    attempts: int = 5
    first_s: float = 0.2
    """Upper bound of the first pause; it doubles with each further one."""
    max_s: float = 10.0
    """Upper bound of any pause."""

    async def pause(self, attempt: int) -> None:
        """Sleep between attempt number `attempt` (from 0) and the next one.

        The length is random below the bound, so that many writers do not come back at once.
        """
        bound = min(self.max_s, self.first_s * 2**attempt)
        await asyncio.sleep(random.uniform(0, bound))  # noqa: S311 - no secret depends on it

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, which is called again after each `TransientError`."""
        for attempt in range(self.attempts - 1):
            try:
                return await work()
            except TransientError:
                await self.pause(attempt)
        return await work()
