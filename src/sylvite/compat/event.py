"""`salt.utils.event`: listen on a bus, and fire onto it, from Python.

    opts = salt.config.client_config("/etc/salt/master")
    event = salt.utils.event.get_event("master", sock_dir=opts["sock_dir"], opts=opts)
    data = event.get_event(wait=10, tag="salt/auth")

Names, arguments, results and errors are Salt's; docs/salt.md says where they are more than that, and where they differ.
"""

# The signatures are Salt's.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any, cast

from sylvite.client.start import Since
from sylvite.compat.async_side import AsyncSide
from sylvite.compat.bus import Reader, Received
from sylvite.compat.connections import PAUSE_S, Connections
from sylvite.compat.matching import MATCHES, Match
from sylvite.compat.packing import pack_event, tag_bytes, trimmed, unpack_event
from sylvite.compat.payload import as_wire
from sylvite.compat.state_errors import errors_of_load
from sylvite.errors import SylviteError
from sylvite.functions.data import stamp

WAIT_S = 5
LOOK_S = 0.01
"""How long `no_block` waits."""
EXIT: dict[str, Any] = {"tag": "salt/event/exit", "data": {}}
log = logging.getLogger("salt.utils.event")


def get_event(
    node: str, sock_dir: str | None = None, *more: Any, transport: str | None = None, **named: Any
) -> SaltEvent:
    """Return the bus of a node.

    `more`: opts, listen, io_loop, keep_loop, raise_errors, which have names too.  `transport`, by name or in front of them, as
    releases of Salt up to 3006 have it, is taken and of no effect.
    """
    del transport
    if more and isinstance(more[0], str):
        more = more[1:]
    return _get_event(node, sock_dir, *more, **named)


def _get_event(
    node: str,
    sock_dir: str | None = None,
    opts: Mapping[str, Any] | None = None,
    listen: bool = True,
    io_loop: Any = None,
    keep_loop: bool = False,
    raise_errors: bool = False,
) -> SaltEvent:
    folder = sock_dir or cast("Mapping[str, Any]", opts)["sock_dir"]  # Without either a TypeError, as in Salt.
    if node == "master":
        return MasterEvent(folder, opts, listen, io_loop, keep_loop, raise_errors)
    return SaltEvent(node, folder, opts, listen, io_loop, keep_loop, raise_errors)


def get_master_event(
    opts: Mapping[str, Any], sock_dir: str | None, listen: bool = True, io_loop: Any = None, raise_errors: bool = False
) -> MasterEvent:
    """Return the bus of the master on this machine."""
    return MasterEvent(sock_dir, opts, listen, io_loop, raise_errors=raise_errors)


class SaltEvent(Connections):
    """A bus: what comes, and firing."""

    # -- Packing and matching ----------------------------------------------------------------------------------------

    @classmethod
    def pack(cls, tag: str, data: Mapping[Any, Any], max_size: int | None = None) -> bytes:
        """Return an event as Salt's sockets carry it: tag, two newlines, MessagePack."""
        return pack_event(tag, data, max_size)

    @classmethod
    def unpack(cls, raw: bytes) -> tuple[str, dict[Any, Any]]:
        """Return tag and data.  Raises SaltDeserializationError."""
        return unpack_event(raw)

    def _get_match_func(self, match_type: str | None = None) -> Match | None:
        return getattr(self, f"_match_tag_{match_type or self.opts['event_match_type']}", None)

    _match_tag_startswith = staticmethod(MATCHES["startswith"])
    _match_tag_endswith = staticmethod(MATCHES["endswith"])
    _match_tag_find = staticmethod(MATCHES["find"])
    _match_tag_regex = staticmethod(MATCHES["regex"])
    _match_tag_fnmatch = staticmethod(MATCHES["fnmatch"])

    def subscribe(self, tag: str | None = None, match_type: str | None = None) -> None:
        """Keep events of this tag that a `get_event` comes across while it looks for others."""
        if tag is not None:
            self.pending_tags.append([tag, self._known_match(match_type)])

    def unsubscribe(self, tag: str | None, match_type: str | None = None) -> None:
        """Undo a `subscribe`, and drop what was kept for it alone."""
        if tag is None:
            return
        try:
            self.pending_tags.remove([tag, self._known_match(match_type)])
        except ValueError:
            return  # There was none.
        self.pending_events = [kept for kept in self.pending_events if self._is_subscribed(kept["tag"])]

    def _known_match(self, match_type: str | None) -> Match:
        match = self._get_match_func(match_type)
        if match is None:
            raise ValueError(f"{match_type!r} is no match_type; there are {', '.join(MATCHES)}")
        return match

    def _is_subscribed(self, tag: str) -> bool:
        return any(match(tag, wanted) for wanted, match in self.pending_tags)

    # -- Reading -----------------------------------------------------------------------------------------------------

    def get_event(
        self,
        wait: float = WAIT_S,
        tag: str = "",
        full: bool = False,
        match_type: str | None = None,
        no_block: bool = False,
        auto_reconnect: bool = False,
    ) -> dict[str, Any] | None:
        """Return the data of the next event whose tag fits, or None if there is none within `wait` seconds.

        `wait`: 0 waits for ever.  `full`: return `{"tag": …, "data": …}`.  `no_block`: look at one event at most.
        `auto_reconnect`: taken; it always connects again, and goes on where it was.
        """
        del auto_reconnect
        self._check_sync()
        deadline = None if wait == 0 and not no_block else time.monotonic() + wait
        match = self._get_match_func(match_type) or self._known_match(None)
        found = self._take_pending(tag, match)
        if found is None:
            found = self._look(tag, match) if no_block else self._await(tag, match, deadline)
        if found is None or full:
            return found
        return found["data"]

    def _check_sync(self) -> None:
        if self._async is not None:
            raise AssertionError("get_event needs an object without io_loop; use set_event_handler")  # As Salt has it.
        self._notice_fork()

    def _take_pending(self, tag: str, match: Match) -> dict[str, Any] | None:
        found: dict[str, Any] | None = None
        kept: list[dict[str, Any]] = []
        for event in self.pending_events:
            fits = match(event["tag"], tag)
            if fits and found is None:
                found = event
            elif fits or self._is_subscribed(event["tag"]):
                kept.append(event)
        self.pending_events = kept
        return found

    def _await(self, tag: str, match: Match, deadline: float | None) -> dict[str, Any] | None:
        while True:
            left_s = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            event = self._next(left_s)
            if event is None and (left_s is None or deadline is None or time.monotonic() < deadline):
                continue  # It ended early: connect again.
            if event is None or event is EXIT or self._fits(event, tag, match):
                return event

    def _look(self, tag: str, match: Match) -> dict[str, Any] | None:
        event = self._next(LOOK_S)
        return event if event is None or event is EXIT or self._fits(event, tag, match) else None

    def _fits(self, event: dict[str, Any], tag: str, match: Match) -> bool:
        """Say whether this is the event that is looked for; keep it for later, if it was subscribed to."""
        if self.opts.get("subproxy") and event["data"].get("proxy_target") != self.opts["id"]:
            return False
        if match(event["tag"], tag):
            return True
        if self._is_subscribed(event["tag"]):
            self.pending_events.append(event)
        return False

    def _next(self, timeout_s: float | None) -> dict[str, Any] | None:
        """Return the next event of the bus, whatever it is; None where none came, or the bus is not there."""
        try:
            if self.subscriber is None and not self.connect_pub(timeout=60.0 if timeout_s is None else timeout_s):
                return None
            assert self.subscriber is not None
            event = self.subscriber.next(timeout_s)
        except SylviteError as error:
            log.error("the bus cannot be read any more: %s", error)
            self.close_pub()
            time.sleep(PAUSE_S)
            return None
        except KeyboardInterrupt:
            return EXIT
        return None if event is None else {"data": event.data, "tag": event.tag}

    def get_event_noblock(self) -> dict[str, Any] | None:
        """Return tag and data of the event that is next, if it is there already; whatever its tag."""
        self._check_sync()
        return self._next(LOOK_S)

    def get_event_block(self) -> dict[str, Any] | None:
        """Return tag and data of the event that is next; wait for it, for ever."""
        self._check_sync()
        while (event := self._next(None)) is None:
            continue
        return event

    def iter_events(
        self,
        tag: str = "",
        full: bool = False,
        match_type: str | None = None,
        auto_reconnect: bool = False,
        *,
        since: Since = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the data of each event whose tag fits, without end.

        `since`: begin in the past (not in Salt): `"2h"`, `"oldest"`, an offset, as `Client.subscribe` takes it.
        """
        if since is not None:
            yield from self._iter_since(tag, full, match_type, since)
        while True:
            data = self.get_event(tag=tag, full=full, match_type=match_type, auto_reconnect=auto_reconnect)
            if data is not None:
                yield data

    def _iter_since(self, tag: str, full: bool, match_type: str | None, since: Since) -> Iterator[dict[str, Any]]:
        self._check_sync()
        match = self._get_match_func(match_type) or self._known_match(None)
        reader = Reader(self._address(), self._name(), WAIT_S, since=since)
        try:
            while True:
                event: Received | None = reader.next(None)
                if event is not None and match(event.tag, tag):
                    yield {"data": event.data, "tag": event.tag} if full else event.data
        finally:
            reader.close()

    def set_event_handler(self, event_handler: Callable[[bytes], Awaitable[None] | None]) -> None:
        """Have each event given to a function, packed; `SaltEvent.unpack` opens it.  A coroutine is waited for."""
        assert self._async is not None, "set_event_handler needs an object with io_loop"
        self._async.read(event_handler)

    # -- Firing ------------------------------------------------------------------------------------------------------

    def fire_event(self, data: MutableMapping[str, Any], tag: str, timeout: float = 1000) -> bool:
        """Fire an event; return True once the bus has it, and will keep it (Salt: once it is written to a socket).

        `data` gets `_stamp`.  `timeout`: for how many milliseconds a bus that is away is tried.

        Raises:
            ValueError: an empty tag, data that is no map, or what no bus takes.  TypeError: what cannot be packed.
        """
        self._check_fired(data, tag)
        if not self.connect_pull(timeout=timeout / 1000):
            return False
        text, wire = self._ready_to_fire(data, tag)
        if self._async is not None:
            self._async.write(text, wire)
            return True
        assert self.pusher is not None
        return self.pusher.publish(text, wire, timeout / 1000)

    async def fire_event_async(
        self, data: MutableMapping[str, Any], tag: str, cb: Callable[[Any], Any] | None = None, timeout: float = 1000
    ) -> bool | None:
        """As `fire_event`, in an event loop; return None once the bus has it, and False where it has not."""
        self._check_fired(data, tag)
        text, wire = self._ready_to_fire(data, tag)
        side = self._async or AsyncSide(None, self._address, self._name())
        try:
            taken = await side.publish(text, wire, timeout / 1000)
        finally:
            if side is not self._async:
                await side.close()
        if cb is not None:
            warnings.warn("the argument cb of fire_event_async is deprecated", DeprecationWarning, stacklevel=2)
            cb(None)
        return None if taken else False

    def _check_fired(self, data: Any, tag: Any) -> None:
        if self.opts.get("subproxy") and isinstance(data, MutableMapping):
            data["proxy_target"] = self.opts["id"]
        if not str(tag):
            raise ValueError("Empty tag.")
        if not isinstance(data, MutableMapping):
            raise ValueError(f"Dict object expected, not '{data}'.")  # noqa: TRY004 - Salt's

    def _ready_to_fire(self, data: MutableMapping[str, Any], tag: Any) -> tuple[str, dict[Any, Any]]:
        data["_stamp"] = stamp(time.time_ns())
        text = tag_bytes(tag).decode()
        return text, trimmed(as_wire(data), self.opts["max_event_size"])

    def fire_master(self, data: Any, tag: str, timeout: float = 1000) -> bool:
        """On the bus of a minion: have an event brought to its master."""
        return self.fire_event({"tag": tag, "data": data, "events": None, "pretag": None}, "fire_master", timeout)

    def fire_ret_load(self, load: Mapping[str, Any]) -> None:
        """Fire what a return of a state run has to say about states that have failed."""
        for tag, data in errors_of_load(load):
            self.fire_event(data, tag)


class MasterEvent(SaltEvent):
    """The bus of a master."""

    def __init__(
        self,
        sock_dir: str | None,
        opts: Mapping[str, Any] | None = None,
        listen: bool = True,
        io_loop: Any = None,
        keep_loop: bool = False,
        raise_errors: bool = False,
    ) -> None:
        super().__init__("master", sock_dir, opts, listen, io_loop, keep_loop, raise_errors)


class LocalClientEvent(MasterEvent):
    """The bus of a master, as `LocalClient` listens to it."""


class MinionEvent(SaltEvent):
    """The bus of a minion, where its options say."""

    def __init__(
        self, opts: Mapping[str, Any], listen: bool = True, io_loop: Any = None, raise_errors: bool = False
    ) -> None:
        super().__init__("minion", opts.get("sock_dir"), opts, listen, io_loop, raise_errors=raise_errors)
