"""Sockets that are not there: bytes arrive late, in pieces, or not at all, and some are never read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.simulation.world import World

KERNEL_BYTES = 16 * 1024
"""What the kernel holds of one direction: it still arrives when the process that wrote it has died."""
DELAY_S = 0.0005
LONG_DELAY_S = 0.3
DELAY_S_MAX = 3.0


class Pipe:
    """One direction of a connection.  `take` gets what arrives; `drained` is called when there is room again."""

    def __init__(
        self, world: World, limit_bytes: int, take: Callable[[bytes], None], drained: Callable[[], None]
    ) -> None:
        self.is_full = False
        self.is_read = True
        self.slow = 1.0
        self._world, self._limit, self._take, self._drained = world, limit_bytes, take, drained
        self._bytes = bytearray()
        self._moving = False
        self._ended = False
        self._at_end: Callable[[], None] | None = None

    def write(self, content: bytes) -> None:
        if self._at_end is None and not self._ended:
            self._bytes += content
            self.is_full = self.is_full or self.waiting_bytes() > self._limit
            self._move_soon()

    def waiting_bytes(self) -> int:
        """What the writer still holds: the kernel has taken no more."""
        return max(len(self._bytes) - KERNEL_BYTES, 0)

    def read(self, *, on: bool) -> None:
        """Go on reading, or stop."""
        self.is_read = on
        self._move_soon()

    def end(self, at_end: Callable[[], None]) -> None:
        """Nothing more will be written; `at_end` is called once all has arrived."""
        self._at_end = at_end
        self._move_soon()

    def writer_died(self, at_end: Callable[[], None]) -> None:
        """What the kernel holds arrives, or the first part of it, and then the end; nothing else does."""
        del self._bytes[self._world.rng.randrange(min(len(self._bytes), KERNEL_BYTES) + 1) :]
        self.end(at_end)

    def cut(self) -> None:
        """Nothing arrives any more."""
        self._ended = True
        self._bytes.clear()

    def _move_soon(self) -> None:
        if self._moving or self._ended or not self.is_read or not (self._bytes or self._at_end):
            return
        self._moving = True
        mean_s = LONG_DELAY_S if self._world.is_chosen(0.004) else DELAY_S
        self._world.after_s(min(self._world.about_s(mean_s) * self.slow, DELAY_S_MAX), self._move)

    def _move(self) -> None:
        self._moving = False
        if self._ended or not self.is_read:
            return
        if self._bytes:
            piece = bytes(self._bytes[: self._piece_bytes()])
            del self._bytes[: len(piece)]
            self._take(piece)
            if self.is_full and self.waiting_bytes() <= self._limit // 4:
                self.is_full = False
                self._drained()
        elif self._at_end is not None:
            at_end, self._at_end, self._ended = self._at_end, None, True
            at_end()
        self._move_soon()

    def _piece_bytes(self) -> int:
        rng, size = self._world.rng, len(self._bytes)
        how = rng.random()
        if how < 0.7:
            return size
        return rng.randint(1, size) if how < 0.9 else rng.randint(1, min(size, 16))


class End:
    """Who is at one end of a Link; each does with it what a transport of asyncio would have it do."""

    def received(self, content: bytes) -> None:
        raise NotImplementedError

    def drained(self) -> None:
        raise NotImplementedError

    def lost(self) -> None:
        raise NotImplementedError


class Link:
    """One connection between a client and the broker."""

    def __init__(self, world: World, client: End, broker: End, limit_bytes: int, *, slow: float) -> None:
        self._world, self._client, self._broker = world, client, broker
        self.to_broker = Pipe(world, limit_bytes, broker.received, client.drained)
        self.to_client = Pipe(world, limit_bytes, client.received, broker.drained)
        self.to_broker.slow = self.to_client.slow = slow

    def cut(self) -> None:
        """Both ends lose it; one may notice later than the other."""
        self.to_broker.cut()
        self.to_client.cut()
        world = self._world
        world.after_s(world.about_s(0.2 if world.is_chosen(0.2) else 0.0001), self._broker.lost)
        world.after_s(world.about_s(0.2 if world.is_chosen(0.2) else 0.001), self._client.lost)

    def client_left(self) -> None:
        """The client has closed its socket, or has died."""
        self.to_client.cut()
        self.to_broker.writer_died(self._broker.lost)

    def broker_closed(self) -> None:
        """The broker has closed its socket: what it has said still arrives."""
        self.to_broker.cut()

        def arrived() -> None:
            self._broker.lost()
            self._client.lost()

        self.to_client.end(arrived)

    def broker_died(self) -> None:
        self.to_broker.cut()
        self.to_client.writer_died(self._client.lost)


def joined(parts: Sequence[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)
