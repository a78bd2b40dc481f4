"""A time limit on silence: how long a server may still be waited for. No network in it, only a clock."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Silent(Exception):
    """What was waited for did not come in time."""


class Patience:
    """The seconds for which a server may still be silent; they run down only while somebody waits for it.

    Args:
        limit: How many there are at first, and after each `renew`.
    """

    def __init__(self, limit: float) -> None:
        self._limit = self._left = limit

    @property
    def is_over(self) -> bool:
        return self._left <= 0

    def renew(self) -> None:
        """Start anew: there was a sign of life."""
        self._left = self._limit

    async def wait(self, awaitable: Awaitable[T], at_most: float = math.inf) -> T:
        """Wait for something that the server is to do; what is not done in time is cancelled.

        Args:
            awaitable: What to wait for.
            at_most: Seconds, if they are to be fewer than are left.

        Raises:
            Silent: The time is over.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            async with asyncio.timeout(min(self._left, at_most)) as limit:
                return await awaitable
        except TimeoutError:
            if not limit.expired():  # a time limit of somebody else
                raise
        finally:
            self._left -= loop.time() - start
        raise Silent
