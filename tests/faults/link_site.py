"""A master and minions as processes that a test kills, stops and starts again; who fires at a minion, and what arrives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair
from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.core.known_tags import OUTBOX
from sylvite.eventlog.eventlog import LogSettings
from tests.daemons.nodes import free_port
from tests.faults.forked_brokers import Forks, broker_output
from tests.faults.link_parent import LinkStart

SETTINGS = BrokerSettings(log=LogSettings(segment_bytes=4 * 1024 * 1024, keep_free_bytes=0))
ARRIVE_WITHIN_S = 60.0
AWAY_S = 900.0
ENDED_WITHIN_S = 120.0
SETTLED_S = 30.0
TAG = "load/one"
COUNTERS: tuple[str, ...] = ("lost", "duplicate", "reordered", "phantom")


class LinkSite:
    """`parts`: what runs, by name: `broker` and `link` of the master, and minions by their ids.

    `logs`: folders of logs that shall be elsewhere, by part.  `port`: of the master's link; `way`: the port by which minions reach it, where that is another one.
    """

    def __init__(
        self, forks: Forks, folder: Path, *, ids: Sequence[str] = ("alpha",), hurried: bool = True, silent_s: float = 10.0,
        without: dict[str, str] | None = None, settings: BrokerSettings = SETTINGS, of_minions: BrokerSettings = SETTINGS,
    ) -> None:  # fmt: skip
        """`without`: the safeguard to take out of a part, by its name."""
        self.forks, self.folder, self.ids = forks, folder, tuple(ids)
        self.parts: dict[str, int] = {}
        self.logs: dict[str, str] = {}
        self.port = self.way = free_port()
        self._hurried, self._silent_s, self._without = hurried, silent_s, without or {}
        self._settings, self._of_minions = settings, of_minions
        self.keys = self.of("link") / "keys"
        self._file = folder / "master.yaml"
        self._file.write_text(f"id: master\ninterface: 127.0.0.1\nret_port: {self.port}\ndata_dir: {self.of('link')}\n")
        with KeyFolder(self.keys, make=True) as keys:
            self.master, _ = load_or_make_pair(keys, "master")
        with Keyring.open(self.keys, make=True) as keyring:
            for id_ in self.ids:
                with KeyFolder(self.of(id_) / "pki", make=True) as keys:
                    pair, _ = load_or_make_pair(keys, "minion")
                keyring.expect(id_, pair.fingerprint, time.time_ns())

    def of(self, name: str) -> Path:
        """Return the folder of a part."""
        return self.folder / ("m" if name in ("broker", "link") else name)

    @property
    def bus(self) -> Path:
        return self.of("broker") / "bus.sock"

    def bus_of(self, id_: str) -> Path:
        return self.of(id_) / "bus.sock"

    def start(self, *names: str) -> None:
        """Start these, or all, and return once they are ready."""
        for name in names or ("broker", "link", *self.ids):
            started = self.forks.start(self._start_of(name))
            assert started.ready, self.output(name)
            self.parts[name] = started.pid

    def _start_of(self, name: str) -> LinkStart:
        is_minion = name not in ("broker", "link")
        return LinkStart(
            str(self.of(name)),
            self._of_minions if is_minion else self._settings,
            without=self._without.get(name),
            log_folder=self.logs.get(name),
            output=str(self.folder / f"output-{name}"),
            link=str(self._file) if name == "link" else None,
            minion=name if is_minion else None,
            master=self.master.fingerprint,
            port=self.way if is_minion else self.port,
            hurried=self._hurried,
            silent_s=self._silent_s,
        )

    def kill(self, *names: str) -> None:
        for name in names:
            self.forks.kill(self.parts.pop(name))

    def output(self, name: str) -> str:
        return broker_output(self.folder / f"output-{name}")

    def tracebacks(self) -> list[str]:
        """Return the parts that have printed one."""
        names = [path.name.removeprefix("output-") for path in self.folder.glob("output-*")]
        return [name for name in names if "Traceback" in self.output(name)]

    def close(self) -> None:
        for name in list(self.parts):
            self.kill(name)


class Firing(threading.Thread):
    """Fires numbered events at a minion's bus, at a pace, until `finish`; `sent`: so many are acknowledged there."""

    def __init__(self, socket: Path, *, each_s: float = 0.0, group: int = 5, pad: int = 0) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self.error: BaseException | None = None
        self._client = Client.connect(socket, reconnect_s=AWAY_S)
        self._each_s, self._group, self._pad = each_s, group, "x" * pad
        self._finishing = threading.Event()

    def run(self) -> None:
        try:
            with self._client:
                while not self._finishing.wait(self._each_s):
                    numbers = range(self.sent, self.sent + self._group)
                    self._client.publish_many(
                        ((OUTBOX, load(number, self._pad)) for number in numbers), timeout_s=AWAY_S
                    )
                    self.sent += self._group
        except BaseException as error:  # noqa: BLE001 - the top of a thread; `finish` raises it again
            self.error = error

    def give_up(self) -> None:
        self._finishing.set()

    def finish(self) -> int:
        """Stop; return how many were sent.  Raises what it has failed with."""
        self._finishing.set()
        self.join(ENDED_WITHIN_S)
        if self.error is not None:
            raise self.error
        assert not self.is_alive(), "it does not end"
        return self.sent


def load(number: int, pad: str = "") -> dict[str, object]:
    """What `event.send` of a minion gives to its bus."""
    return {"tag": TAG, "data": {"n": number, "pad": pad}, "cmd": "_minion_event"}


class Arriving(threading.Thread):
    """Hears what arrives on the master's bus, through every restart of it: `numbers`, in order; `pause_s`: the longest time between two."""

    def __init__(self, socket: Path) -> None:
        super().__init__(daemon=True)
        self.numbers: list[int] = []
        self.pause_s = 0.0
        self.error: BaseException | None = None
        self._client = Client.connect(socket, reconnect_s=AWAY_S)
        self._finishing = threading.Event()

    def run(self) -> None:
        last = time.monotonic()
        try:
            with self._client, self._client.subscribe(TAG, since="oldest") as subscription:
                while not self._finishing.is_set():
                    if (event := subscription.next(0.05)) is not None:
                        self.numbers.append(event.data["data"]["n"])
                        last, before = time.monotonic(), last
                        self.pause_s = max(self.pause_s, last - before)
        except BaseException as error:  # noqa: BLE001 - as above
            self.error = error

    def wait(self, count: int, within_s: float = ARRIVE_WITHIN_S) -> float:
        """Wait until so many have arrived; return how long that took."""
        return self._wait(lambda: len(self.numbers) >= count, within_s, f"of {count}")

    def wait_for(self, number: int, within_s: float = ARRIVE_WITHIN_S) -> float:
        """Wait until this one has arrived, as the last of those that have; return how long that took."""
        return self._wait(lambda: self.numbers[-1:] == [number], within_s, f"of those up to {number}")

    def _wait(self, is_there: Callable[[], bool], within_s: float, wanted: str) -> float:
        started = time.monotonic()
        while not is_there():
            if self.error is not None:
                raise self.error
            assert time.monotonic() - started < within_s, f"{len(self.numbers)} {wanted} have arrived"
            time.sleep(0.002)
        return time.monotonic() - started

    def settle(self, count: int, within_s: float = SETTLED_S) -> None:
        """Wait until so many have arrived, or nothing comes any more; then end."""
        last, since = -1, time.monotonic()
        while len(self.numbers) < count and time.monotonic() - since < within_s:
            if len(self.numbers) > last:
                last, since = len(self.numbers), time.monotonic()
            time.sleep(0.01)
        self.finish()

    def give_up(self) -> None:
        self._finishing.set()

    def finish(self) -> None:
        self._finishing.set()
        self.join(ENDED_WITHIN_S)
        if self.error is not None:
            raise self.error


def stored(socket: Path) -> list[int]:
    """Return the numbers that a master's log holds, in its order."""
    with Client.connect(socket) as client, client.subscribe(TAG, since="oldest", until_end=True) as subscription:
        return [event.data["data"]["n"] for event in subscription]


def judge(numbers: Sequence[int], sent: int) -> dict[str, float]:
    """Return what is wrong with what has arrived, of so many that were sent in the order of their numbers."""
    seen: set[int] = set()
    wrong = dict.fromkeys(COUNTERS, 0.0)
    highest = -1
    for number in numbers:
        wrong["phantom"] += not 0 <= number < sent
        if number in seen:
            wrong["duplicate"] += 1
        elif number < highest:
            wrong["reordered"] += 1
        seen.add(number)
        highest = max(highest, number)
    wrong["lost"] = sum(number not in seen for number in range(sent))
    return wrong
