"""Connections of an event object of Salt's: to what comes, and to fire; made when they are wanted, and made again."""

# The signatures are Salt's.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from sylvite.compat.async_side import AsyncSide
from sylvite.compat.bus import Reader, Writer, find_bus
from sylvite.compat.defaults import default_opts
from sylvite.errors import SylviteError

PAUSE_S = 0.05
"""Between two tries to connect."""
Made = TypeVar("Made")
log = logging.getLogger("salt.utils.event")


class Connections:
    """Without `io_loop` each call does its work and returns; with one (asyncio's or tornado's) it runs there."""

    def __init__(
        self,
        node: str,
        sock_dir: str | None = None,
        opts: Mapping[str, Any] | None = None,
        listen: bool = True,
        io_loop: Any = None,
        keep_loop: bool = False,
        raise_errors: bool = False,
    ) -> None:
        """`listen`: connect to what comes at once; it is tried again at the first read."""
        self.node, self.io_loop, self.keep_loop, self.raise_errors = node, io_loop, keep_loop, raise_errors
        self.opts: dict[str, Any] = {**default_opts(node), **(opts or {})}
        if sock_dir is not None:
            self.opts["sock_dir"] = str(sock_dir)
        self.pending_tags: list[list[Any]] = []
        self.pending_events: list[dict[str, Any]] = []
        self.subscriber: Reader | None = None
        self.pusher: Writer | None = None
        self._pid = os.getpid()
        self._async = AsyncSide(io_loop, self._address, self._name()) if io_loop is not None else None
        if listen:
            self.connect_pub()

    def _name(self) -> str:
        return f"{type(self).__name__}:{os.getpid()}"

    def _address(self) -> str:
        return find_bus(self.node, self.opts)

    @property
    def cpub(self) -> bool:
        """Whether this object is connected to what comes."""
        return self.subscriber is not None or (self._async is not None and self._async.is_reading)

    @property
    def cpush(self) -> bool:
        """Whether this object is connected to fire."""
        return self.pusher is not None or (self._async is not None and self._async.is_writing)

    def connect_pub(self, timeout: float | None = None) -> bool:
        """Connect to what comes; with `timeout`, try for so many seconds.  Return whether there is a bus."""
        self._notice_fork()
        if self._async is not None:
            self._async.read()
            return True
        if self.subscriber is None:
            self.subscriber = self._try(lambda left_s: Reader(self._address(), self._name(), left_s), timeout or 0)
        return self.subscriber is not None

    def close_pub(self) -> None:
        """Close it; what is kept of it is dropped."""
        self.pending_events.clear()
        if self._async is not None:
            self._async.stop_reading()
        if self.subscriber is not None:
            self.subscriber.close()
            self.subscriber = None

    def connect_pull(self, timeout: float = 1) -> bool:
        """Connect to fire, within so many seconds.  Return whether there is a bus."""
        self._notice_fork()
        if self._async is not None:
            return True
        if self.pusher is None:
            self.pusher = self._try(lambda left_s: Writer(self._address(), self._name(), left_s), timeout)
        return self.pusher is not None

    def close_pull(self) -> None:
        if self._async is not None:
            self._async.stop_writing()
        if self.pusher is not None:
            self.pusher.close()
            self.pusher = None

    def _try(self, connect: Callable[[float], Made], timeout_s: float) -> Made | None:
        """Return what `connect` returns, or None where it fails for so long."""
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = deadline - time.monotonic()
            try:
                return connect(max(left_s, 0.0))
            except SylviteError as error:
                if left_s <= 0:
                    log.debug("no connection: %s", error)
                    return None
            time.sleep(min(PAUSE_S, max(left_s, 0.0)))

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():
            self._pid = os.getpid()
            for connected in (self.subscriber, self.pusher):
                if connected is not None:
                    connected.abandon()
            self.subscriber = self.pusher = None

    def destroy(self) -> None:
        """Close everything.  It connects again where it is used again."""
        self.close_pub()
        self.close_pull()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.destroy()

    def __del__(self) -> None:
        # An object whose making has failed has not all of its parts.
        if getattr(self, "subscriber", None) is not None or getattr(self, "pusher", None) is not None:
            self._notice_fork()
            if self.cpub or self.cpush:
                text = f"unclosed {type(self).__name__} {self!r}; call ``destroy()`` or use as a context manager"
                warnings.warn(text, ResourceWarning, stacklevel=2, source=self)
                log.warning("%s", text)
                self.destroy()
