"""What every peer is to the workloads: processes that start and stop, and connections that publish and receive."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, ClassVar

from bench.processes import die_with_parent

START_S = 60.0
"""How long the first event is waited for."""
IDLE_S = 8.0
"""After that long without an event, what has not come is lost."""
TICK_S = 0.1
SERVER_S = 30.0

Data = dict[str, Any]
Event = tuple[str, Data]
Take = Callable[[str, Data], bool]


class Guarantee(Enum):
    """What a peer can lose of what it has taken."""

    MEMORY = "nothing is kept: the end of the broker, or a slow subscriber, can lose events"
    WRITTEN = "acknowledged and kept: the end of the broker loses nothing, a power cut may"
    SYNCED = "acknowledged once synced: a power cut loses nothing"


@dataclass(frozen=True)
class Pattern:
    """What a subscriber wants: tags that begin so, or with `*` tags of that shape; a `*` is one whole segment."""

    text: str

    @property
    def is_glob(self) -> bool:
        return "*" in self.text

    @property
    def prefix(self) -> str:
        """What all its tags begin with."""
        return self.text.partition("*")[0]

    def matches(self, tag: str) -> bool:
        if not self.is_glob:
            return tag.startswith(self.text)
        wanted, found = self.text.split("/"), tag.split("/")
        return len(wanted) == len(found) and all(each in ("*", have) for each, have in zip(wanted, found, strict=True))

    def example(self) -> str:
        """Return a tag that it wants."""
        return self.text.replace("*", "hello") if self.is_glob else self.text + "hello"


class Idle(Exception):
    """No event came any more."""


class Tally:
    """What one subscriber got: each event counted once, by its number `n`; below zero it is a publisher's hello."""

    def __init__(self, expected: int, numbers: int, publishers: int, ready: Callable[[], None]) -> None:
        self.doubled = 0
        self.last_at = time.perf_counter()
        self._left: int = expected
        self._expected = expected
        self._seen = bytearray(numbers)
        self._publishers, self._heard, self._ready = publishers, set[int](), ready
        self._left_before: int = expected
        self._quiet_since = time.perf_counter()

    @property
    def lost(self) -> int:
        return self._left

    def take(self, _tag: str, data: Data) -> bool:
        """Count an event; return whether it was the last one wanted."""
        number = data["n"]
        if number < 0:
            return self._hear(number)
        if self._seen[number]:
            self.doubled += 1
            return False
        self._seen[number] = 1
        self._left -= 1
        return not self._left

    def _hear(self, number: int) -> bool:
        self._quiet_since = time.perf_counter()
        if number not in self._heard:
            self._heard.add(number)
            if len(self._heard) == self._publishers:
                self._ready()
        return False

    def is_idle(self) -> bool:
        """Return whether nothing has come for too long; to be asked every TICK_S."""
        now = time.perf_counter()
        if self._left != self._left_before:
            self._left_before, self._quiet_since, self.last_at = self._left, now, now
        limit = IDLE_S if self._left != self._expected else START_S
        return now - self._quiet_since > limit

    @contextlib.contextmanager
    def timed(self) -> Generator[None]:
        """Take the time at the end, when all has come; else it is that of the last event."""
        yield
        if not self._left:
            self.last_at = time.perf_counter()

    @contextlib.contextmanager
    def watched(self) -> Generator[None]:
        """As `timed`; and end a blocking read within once nothing comes any more."""

        def tick(_number: int, _frame: FrameType | None) -> None:
            if self.is_idle():
                raise Idle

        before = signal.signal(signal.SIGALRM, tick)
        signal.setitimer(signal.ITIMER_REAL, TICK_S, TICK_S)
        try:
            with self.timed():
                yield
        except Idle:
            pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


class Connection(ABC):
    """One client's connection.  Opened in the process that uses it; a context manager."""

    @abstractmethod
    def publish_many(self, events: Iterable[Event]) -> None:
        """Publish in the fastest way that the client's documentation shows; return once all is handed over.

        Where the peer acknowledges, that is once all is acknowledged.
        """

    @abstractmethod
    def publish_one(self, tag: str, data: Data) -> None:
        """Publish one event; return once it is acknowledged, or handed over where nothing is acknowledged."""

    @abstractmethod
    def receive(self, pattern: Pattern, tally: Tally) -> None:
        """Subscribe, and hand events to `tally.take` until it says that it has all, or the tally is idle."""

    def replay(self, tally: Tally) -> None:
        """As `receive`, with all events that there have been, from the oldest on."""
        raise NotImplementedError

    @abstractmethod
    def close(self) -> None:
        """Return once all that was published has left."""

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Peer(ABC):
    """A bus under measurement: one column of a table.  `start`, then `connect` in any number of processes, `stop`."""

    title: ClassVar[str]
    guarantee: ClassVar[Guarantee]
    promise: ClassVar[str]
    """Its guarantee in a few words, for the head of its column."""
    advice: ClassVar[str]
    """How it is set up, and who advises so."""
    environment: ClassVar[str] = "bench"
    """Which environment its clients are in (bench/environments.py)."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Debian packages that it needs."""
    cannot: ClassVar[Mapping[str, str]] = {}
    """Workloads that it cannot do, and why not."""
    notes: ClassVar[Mapping[str, str]] = {}
    """What has to be known of its figure for a workload."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def start(self) -> None:
        """Start its processes; return once clients can connect."""

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def pids(self) -> dict[str, int]:
        """Return its processes, without those of the clients."""

    def load(self) -> None:  # noqa: B027 - most clients need no preparation
        """Import what clients need, so that forked ones have it."""

    @abstractmethod
    def connect(self) -> Connection: ...

    def spell(self, tag: str) -> str:
        """Return how a tag is written here."""
        return tag

    def command(self, tag: str) -> list[str]:
        """Return the command line that publishes one event."""
        raise NotImplementedError

    def script(self, tag: str) -> str:
        """Return the shortest Python program that publishes one event, acknowledged where it can be."""
        raise NotImplementedError

    def python(self) -> str | Path:
        """Return the interpreter for `script`."""
        import sys

        return sys.executable

    @abstractmethod
    def versions(self) -> dict[str, str]: ...

    @abstractmethod
    def installed_bytes(self) -> int:
        """Return what its packages take on the disk, those that they depend on within Python with them."""

    def __enter__(self) -> Peer:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class ServerProcess:
    """A peer's own process: it ends when told, and when we do."""

    def __init__(self, command: Sequence[str | Path], folder: Path) -> None:
        self._log = folder / "server.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Raises RuntimeError, with the last of what it printed, where that does not come to hold."""
        deadline = time.monotonic() + SERVER_S
        while not holds():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._log.read_text(errors="replace").strip().splitlines()
                raise RuntimeError(f"it did not start: {said[-1] if said else 'it printed nothing'}")
            time.sleep(0.01)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(SERVER_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def program(name: str) -> str:
    """Return where a program is.  Raises FileNotFoundError."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    return found
