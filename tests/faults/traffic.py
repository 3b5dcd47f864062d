"""Publishers and readers in threads, with the real clients, that write down in a Ledger what they send and see."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sylvite.client.sync_client import Client
from tests.faults.ledger import Ledger
from tests.faults.ledger import Reading as LedgerReading

AWAY_S = 20.0
JOIN_S = 60.0
POLL_S = 0.05
SIZES = (0, 100, 500, 2000, 5000, 40_000)


class Traffic(threading.Thread):
    """A client in a thread, until `finish`.  `error`: what ended it before."""

    def __init__(self, socket: Path, ledger: Ledger) -> None:
        super().__init__(daemon=True)
        self.ledger = ledger
        self.error: BaseException | None = None
        self.client = Client.connect(socket, reconnect_s=AWAY_S)
        self._finishing = threading.Event()

    def run(self) -> None:
        try:
            with self.client:
                self.work()
        except BaseException as error:  # noqa: BLE001 - the top of a thread; `finish` raises it again
            self.error = error

    def work(self) -> None:
        raise NotImplementedError

    def give_up(self) -> None:
        """Let it end as soon as it can, without waiting for it."""
        self._finishing.set()

    def finish(self) -> None:
        """Let it end what it is doing.  Raises what it has failed with."""
        self._finishing.set()
        self.join(JOIN_S)
        if self.error is not None:
            raise self.error
        assert not self.is_alive(), f"{type(self).__name__} does not end"


class Publishing(Traffic):
    """Publishes numbered events at one level: alone, and by the publisher in pipelined groups."""

    def __init__(self, socket: Path, ledger: Ledger, level: str, seed: int) -> None:
        super().__init__(socket, ledger)
        self.level = level
        self.acknowledged = 0
        self.waited_longest_s = 0.0
        self._rng = random.Random(seed)

    def work(self) -> None:
        # What readers know this publisher by; the client does not show it.
        epoch = self.client._core.source_epoch  # pyright: ignore[reportPrivateUsage]
        source, rng, number = self.ledger.source(epoch), self._rng, 0
        while not self._finishing.is_set():
            if rng.random() < 0.5:
                source.sent = number + 1
                published = self.client.publish(
                    "load/one", {"n": number, "pad": "x" * rng.choice(SIZES)}, level=self.level, timeout_s=AWAY_S
                )
                self.ledger.place(published.offset, epoch, number)
                source.acknowledged.add(number)
                number += 1
            else:
                count = rng.randrange(1, 40)
                source.sent = number + count
                with self.client.publisher(level=self.level, batch_bytes=rng.choice([1, 2000, 60_000])) as publisher:
                    for each in range(number, number + count):
                        publisher.publish("load/many", {"n": each, "pad": "x" * rng.randrange(600)})
                source.acknowledged.update(range(number, number + count))
                number += count
            self.acknowledged = number


class Reading(Traffic):
    """Reads everything from the oldest event on, through every restart."""

    def __init__(self, socket: Path, ledger: Ledger) -> None:
        super().__init__(socket, ledger)
        self.reading = ledger.reading()
        self._up_to: int | None = None

    def work(self) -> None:
        reading = self.reading
        with self.client.subscribe(since="oldest", on_gap=reading.gap) as subscription:
            while not self._finishing.is_set() or (self._up_to is not None and reading.next < self._up_to):
                event = subscription.next(POLL_S)
                if event is not None:
                    reading.take(event)

    def finish_at(self, end: int) -> None:
        """Let it read up to an offset, and end."""
        self._up_to = end
        self.finish()
        assert self.reading.next >= end


def read_to_end(socket: Path, reading: LedgerReading) -> int:
    """Read what a log holds, from its oldest event on; return the offset of that one."""
    with Client.connect(socket) as client:
        oldest = int(client.ask("log")["oldest"])
        reading.skip_to(oldest)
        with client.subscribe(since="oldest", until_end=True, on_gap=reading.gap) as subscription:
            while (event := subscription.next(AWAY_S)) is not None:
                reading.take(event)
            assert subscription.ended, f"the log is not read to its end within {AWAY_S:g} s"
    return oldest


def wait_until(holds: Callable[[], bool], *, within_s: float, what: str, every_s: float = 0.0005) -> float:
    """Look again and again until a condition holds; return how long that took.

    Raises:
        AssertionError: it does not hold in time.
    """
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < within_s, f"not within {within_s:g} s: {what}"
        time.sleep(every_s)
    return time.monotonic() - started
