"""The bus of functions, in memory: what was fired can be looked at, what is to be seen is given beforehand."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from sylvite.core.event import Event, Offset, Origin, pack_data, unpack_data
from sylvite.core.tag import check_tag
from sylvite.errors import SylviteError
from sylvite.functions.data import plain, stamp
from sylvite.functions.errors import NoMaster

STAMP_NS = 1_795_474_051_012_345_000
"""When everything happens here: 2026-11-23 22:47:31.012345 UTC."""


class Bus:
    """`fired`: tag and data, in order, as a subscriber would get them.  `sent`: what went up, with its preload.

    `error`: is raised by whatever is fired.  `has_master`: there is somebody to send up to.
    """

    def __init__(self, *, has_master: bool = False) -> None:
        self.fired: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[tuple[str, Any, dict[str, Any]]] = []
        self.error: SylviteError | None = None
        self._has_master = has_master

    def fire(self, tag: str, data: dict[str, Any]) -> None:
        data["_stamp"] = stamp(STAMP_NS)
        if self.error is not None:
            raise self.error
        self.fired.append((check_tag(tag), unpack_data(pack_data(plain(data)))))

    def fire_master(self, tag: str, data: Any, preload: Mapping[str, Any]) -> None:
        if not self._has_master:
            raise NoMaster(f"there is no master to send {tag!r} to")
        if self.error is not None:
            raise self.error
        self.sent.append((check_tag(tag), plain(data), dict(preload)))

    @contextlib.contextmanager
    def watch(self, tagmatch: str, *, node: str, sock_dir: str | None) -> Generator[Iterator[Event]]:
        """Give what was fired so far, whatever `tagmatch` is: choosing is for the one who watches."""
        del tagmatch, node, sock_dir
        origin = Origin(1, STAMP_NS, "uid:0", 1)
        yield (Event(tag, data, Offset(number), origin) for number, (tag, data) in enumerate(list(self.fired)))
