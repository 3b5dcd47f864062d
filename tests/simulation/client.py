"""A client without a socket: what `AsyncConnection` does, in the time of the world."""

from __future__ import annotations

from sylvite.client.core import ClientCore
from sylvite.client.retry import Retry
from sylvite.client.sync_connection import GREETING_S, PASSING
from sylvite.errors import ConnectionLost, SylviteError
from tests.simulation.broker import Machine
from tests.simulation.network import End, Link, joined
from tests.simulation.world import Timer, Violation, World


class Wire(End):
    """One connection, for as long as it lives."""

    def __init__(self, client: Client) -> None:
        self.link: Link | None = None
        self._client = client

    def received(self, content: bytes) -> None:
        self._client.received(self, content)

    def drained(self) -> None:
        self._client.send()
        self._client.changed()

    def lost(self) -> None:
        self._client.lost(self)


class Client:
    """Connects again by itself, for ever.  `changed` is called when something has arrived."""

    def __init__(self, world: World, machine: Machine, name: str) -> None:
        self.world, self.machine, self.name = world, machine, name
        self.core = self._new_core()
        self._retry = Retry(None)
        self._wire: Wire | None = None
        self._connecting: Timer | None = None
        self._greeting: Timer | None = None

    def _new_core(self) -> ClientCore:
        return ClientCore(self.world.rng.getrandbits(63), name=self.name)

    def start(self) -> None:
        self._reconnect()

    def changed(self) -> None:
        raise NotImplementedError

    def note(self, what: str) -> None:
        self.world.note(self.name, what)

    # -- The connection ----------------------------------------------------------------------------------------------

    def _reconnect(self) -> None:
        if self._connecting is None:
            pause_s = self._retry.wait_s(self.world.now_s, self.world.rng.random())
            assert pause_s is not None
            self._connecting = self.world.after_s(pause_s, self._attempt)

    def _attempt(self) -> None:
        self._connecting = None
        self._retry.attempt()
        wire = Wire(self)
        link = self.machine.connect(wire, self.name)
        if link is None:
            self._reconnect()
            return
        self.note("connects")
        wire.link, self._wire = link, wire
        self.core.connect()
        self._greeting = self.world.after_s(GREETING_S, lambda: self.lost(wire))
        self.send()

    def received(self, wire: Wire, content: bytes) -> None:
        if wire is not self._wire:
            return
        was_ready = self.core.is_ready
        try:
            self.core.feed(content)
        except ConnectionLost:
            self.lost(wire)
            return
        except SylviteError as error:
            if error.code not in PASSING:
                raise Violation("broken", f"{self.name} is told {error!r}") from error
            self.lost(wire)
            return
        if self.core.is_ready and not was_ready:
            self._retry.connected(self.world.now_s)
            self._greeted()
        self.send()
        self.changed()

    def _greeted(self) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
            self._greeting = None

    def send(self) -> None:
        """Give what the core has to say to the socket, while it has room."""
        link = None if self._wire is None else self._wire.link
        if link is not None and not link.to_broker.is_full and self.core.has_bytes:
            link.to_broker.write(joined(self.core.take_bytes()))

    def is_sent(self) -> bool:
        return not self.core.has_bytes and not (self._wire and self._wire.link and self._wire.link.to_broker.is_full)

    def lost(self, wire: Wire) -> None:
        if wire is self._wire:
            self.note("has lost its connection")
            self._drop()
            self._reconnect()

    def _drop(self) -> None:
        self._greeted()
        self.core.lost()
        wire, self._wire = self._wire, None
        if wire is not None and wire.link is not None:
            wire.link.client_left()

    # -- What befalls it ---------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Lose the connection, with all that is under way."""
        if self._wire is not None and self._wire.link is not None:
            self.note("its connection is cut")
            self._wire.link.cut()

    def stop_reading(self, for_s: float) -> None:
        """Take nothing from the socket for a while."""
        if self._wire is not None and self._wire.link is not None:
            self.note("stops reading")
            pipe = self._wire.link.to_client
            pipe.read(on=False)
            self.world.after_s(for_s, lambda: pipe.read(on=True))
