"""Counters in the server's key-value store, where they outlive the plugin."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable
from typing import Any, Callable

from server_api import ApiError, ServerApi

# Before the names of all counters, so that other keys can live beside them.
PREFIX = "counter/"
# So many calls are under way at once when all counters are wanted.
AT_ONCE = 100
# Seconds until a counter that others change all the time is given up.
PATIENCE = 20.0
# Seconds to wait at most before the second attempt, and before any later one.
FIRST_PAUSE, LONGEST_PAUSE = 0.002, 0.1

log = logging.getLogger("moderator.counters")


class Counters:
    """Named counters. However many hooks or servers of a cluster add at once, no count is lost."""

    def __init__(self, api: ServerApi) -> None:
        self._api = api
        self._complained = False

    async def add(self, name: str, amount: int = 1) -> None:
        """Add to a counter.

        The new value is stored only if the old one is still there, else all is done again. Those
        who lost wait for a random time, so that they do not meet again.
        """
        key = PREFIX + name
        clock = asyncio.get_running_loop().time
        give_up, pause = clock() + PATIENCE, FIRST_PAUSE
        while True:
            old = await self._api.get(key)
            new = b"%d" % (self._number(key, old) + amount)
            if await self._api.compare_and_set(key, old, new):
                return
            if clock() > give_up:
                raise ApiError(f"KVCompareAndSet: {key} never stayed the same in {PATIENCE:.0f} s")
            await asyncio.sleep(random.uniform(0, pause))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def all(self) -> dict[str, int]:
        """Every counter's value, by name, in the order of the names."""
        keys = await self._keys()
        values = await _each(self._api.get, keys)
        return {key[len(PREFIX) :]: self._number(key, value) for key, value in zip(keys, values)}

    async def reset(self) -> int:
        """Remove all counters; tells how many there were."""
        keys = await self._keys()
        await _each(self._api.delete, keys)
        return len(keys)

    async def _keys(self) -> list[str]:
        return sorted({key for key in await self._api.keys() if key.startswith(PREFIX)})

    def _number(self, key: str, value: bytes) -> int:
        """The number that a value stands for. What is none counts as 0, and is overwritten."""
        if not value:
            return 0
        if value.isdigit() and len(value) <= 18:
            return int(value)
        if not self._complained:
            self._complained = True
            log.warning("%s holds %d bytes that are no number; counting from 0", key, len(value))
        return 0


async def _each(call: Callable[[str], Awaitable[Any]], keys: list[str]) -> list[Any]:
    """What a call answers for each key, in the order of the keys."""
    answers: list[Any] = []
    for start in range(0, len(keys), AT_ONCE):
        answers += await asyncio.gather(*map(call, keys[start : start + AT_ONCE]))
    return answers
