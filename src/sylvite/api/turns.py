"""Turns: who reads on from the log next, so that nobody's replay of a long history keeps others waiting.

A replay asks for a turn before each piece that it reads and encodes.  One piece is worked on at a time, and whatever else there is to
do comes in between; tokens take turns, however many replays one of them has.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Generator

from sylvite.api.problems import TooManyRequests


class Turns:
    """`bytes_per_s`: of all replays together; None: as fast as it goes.  `histories_max`: of one token at once."""

    def __init__(
        self, bytes_per_s: float | None, histories_max: int, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._bytes_per_s, self._histories_max, self._now_s = bytes_per_s, histories_max, now_s
        self._free_s = now_s()
        """When the next piece may be read."""
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._handle: asyncio.Handle | None = None
        self._histories: Counter[str] = Counter()

    async def take(self, who: str) -> None:
        """Wait for one's turn to read a piece."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(turn)
        if self._handle is None:
            self._give_later()
        await turn

    def took(self, size: int) -> None:
        """Say how many bytes the piece had."""
        if self._bytes_per_s is not None:
            self._free_s = max(self._free_s, self._now_s()) + size / self._bytes_per_s

    @contextlib.contextmanager
    def history(self, who: str) -> Generator[None]:
        """Count a history that is being read meanwhile.  Raises TooManyRequests."""
        if self._histories[who] >= self._histories_max:
            raise TooManyRequests(f"a token may read {self._histories_max} histories at once", 1.0)
        self._histories[who] += 1
        try:
            yield
        finally:
            self._histories[who] -= 1
            if not self._histories[who]:
                del self._histories[who]

    def _give_later(self) -> None:
        loop, wait_s = asyncio.get_running_loop(), self._free_s - self._now_s()
        self._handle = loop.call_later(wait_s, self._give) if wait_s > 0 else loop.call_soon(self._give)

    def _give(self) -> None:
        """Give one turn; the next one comes in the next round of the loop, behind all that is ready by then."""
        self._handle = None
        while self._waiting:
            who, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[who] = turns
            if not turn.done():  # Whoever wanted it may have gone.
                turn.set_result(None)
                break
        if self._waiting:
            self._give_later()
