"""The bus of functions, in memory: what was fired can be looked at, what is to be seen is given beforehand."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from sylvite.core.event import Event, Offset, Origin, pack_data, unpack_data
from sylvite.core.tag import check_tag
from sylvite.errors import SylviteError
from sylvite.functions.data import plain, stamp

STAMP_NS = 1_795_474_051_012_345_000
"""When everything happens here: 2026-11-23 22:47:31.012345 UTC."""


class Bus:
    """`fired`: tag and data, in order, as a subscriber would get them.  `sent`: what goes up, with its preload.

    `error`: is raised by whatever is fired.
    """

    def __init__(self) -> None:
        self.socket: str | None = None
        self.fired: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[tuple[str, Any, dict[str, Any] | None]] = []
        self.error: SylviteError | None = None

    def fire(self, tag: str, data: dict[str, Any]) -> None:
        data["_stamp"] = stamp(STAMP_NS)
        if self.error is not None:
            raise self.error
        self.fired.append((check_tag(tag), unpack_data(pack_data(plain(data)))))

    def fire_master(self, tag: str, data: Any, preload: Mapping[str, Any] | None) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((check_tag(tag), plain(data), None if preload is None else dict(preload)))

    def publish(self, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
        if self.error is not None:
            raise self.error
        self.fired.extend((check_tag(tag), unpack_data(pack_data(data))) for tag, data in events)

    @contextlib.contextmanager
    def watch(self, tagmatch: str, *, node: str, sock_dir: str | None) -> Generator[Iterator[Event]]:
        """Give what was fired so far, whatever `tagmatch` is: choosing is for the one who watches."""
        del tagmatch, node, sock_dir
        origin = Origin(1, STAMP_NS, "uid:0", 1)
        yield (Event(tag, data, Offset(number), origin) for number, (tag, data) in enumerate(list(self.fired)))
