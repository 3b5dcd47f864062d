"""Following: streams that have had all there is, and are written to in the moment when more comes.

A stream that waits for news by itself costs an event a task that is woken, and all that lies between it and its socket.  Of those that
follow, nobody is woken: all that look at the same events in the same form are written the same bytes, one behind the other.  One whose
socket takes nothing at the moment falls out, and goes on by itself from there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sylvite.client.start import Since

if TYPE_CHECKING:
    from sylvite.api.tail import Entry

Write = Callable[[bytes], bool]
"""Writes to one client; False: he takes nothing at the moment, and nothing was written."""
LOOK_S = 1.0
"""So often it is looked who needs a heartbeat."""


class Kind(NamedTuple):
    """What makes two streams the same.  `text`: what they are written of these entries; `heartbeat`: after so long without any."""

    key: Hashable
    text: Callable[[Sequence[Entry]], bytes]
    heartbeat: bytes
    idle_s: float


class Fallen(NamedTuple):
    """Where one has to go on: the number of an entry, and the place of the last event that was written; None: none was."""

    number: int
    place: Since


class _Follower:
    __slots__ = ("fallen", "since", "spoken_s", "write")

    def __init__(self, write: Write, since: int, now_s: float) -> None:
        self.write, self.since, self.spoken_s = write, since, now_s
        self.fallen: asyncio.Future[Fallen] = asyncio.get_running_loop().create_future()

    def fall(self, number: int, place: Since) -> None:
        if not self.fallen.done():
            self.fallen.set_result(Fallen(number, place if number > self.since else None))


class Following:
    """All who follow have had the same entries: those below the number that is told next."""

    def __init__(self) -> None:
        self._followers: dict[Hashable, tuple[Kind, set[_Follower]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def follow(self, kind: Kind, write: Write, number: int) -> Fallen:
        """Follow, from the entry with this number on, until nothing can be written."""
        follower = _Follower(write, number, time.monotonic())
        self._followers.setdefault(kind.key, (kind, set()))[1].add(follower)
        if self._timer is None:
            self._look_later()
        try:
            return await follower.fallen
        finally:
            self._drop(kind, [follower])

    def tell(self, entries: Sequence[Entry], number: int, place: Since) -> None:
        """Write these to all; `number`: of the first; `place`: of the last event before them."""
        now_s = time.monotonic()
        for kind, followers in list(self._followers.values()):
            text = kind.text(entries)
            if text:
                full = [follower for follower in followers if not _spoken(follower, text, now_s)]
                self._drop(kind, full)
                for follower in full:
                    follower.fall(number, place)

    def end(self, number: int, place: Since) -> None:
        """Let all go on by themselves."""
        everybody, self._followers = self._followers, {}
        for _, followers in everybody.values():
            for follower in followers:
                follower.fall(number, place)

    def _drop(self, kind: Kind, some: Sequence[_Follower]) -> None:
        _, followers = self._followers.get(kind.key, (kind, set[_Follower]()))
        followers.difference_update(some)
        if not followers:
            self._followers.pop(kind.key, None)

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        """Write a heartbeat to those who have had nothing for long.  Who takes none has something on its way."""
        self._timer, now_s = None, time.monotonic()
        for kind, followers in self._followers.values():
            for follower in followers:
                if now_s - follower.spoken_s >= kind.idle_s:
                    _spoken(follower, kind.heartbeat, now_s)
        if self._followers:
            self._look_later()


def _spoken(follower: _Follower, text: bytes, now_s: float) -> bool:
    follower.spoken_s = now_s
    return follower.write(text)
