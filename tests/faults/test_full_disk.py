"""A-08: no space on the volume, a limit of file sizes, a quota, a read-only mount."""

from __future__ import annotations

import errno
import os
import random
import resource
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.core.event import Event
from sylvite.errors import DiskFull, SylviteError
from sylvite.eventlog.eventlog import EventLog, LogSettings
from sylvite.testing.storage import MemoryStorage
from tests.eventlog.logs import append, numbers, open_log, read_all, sync
from tests.faults.forked_brokers import Forks, Start, Started, broker_output, forked_brokers
from tests.faults.ledger import COUNTERS, Ledger, Source
from tests.faults.report import control, report
from tests.faults.traffic import Reading, read_to_end, wait_until

MIB = 1024 * 1024
VOLUME_BYTES = 64 * MIB
REFUSED_WITHIN_S = 2.0
"""The target is 0.1 s; a machine that is busy with other tests is given more."""
RESUMED_WITHIN_S = 5.0
"""The target is 1 s."""
TRIES = 20


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


@contextmanager
def _small_volume(place: Path) -> Generator[Path]:
    """A file system of 64 MiB, gone at the end."""
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a volume of its own needs the right to mount")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={VOLUME_BYTES},mode=0700", "sylvite-test", str(place)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"mounting is not possible here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        # Lazily: a broker that the test could not stop must not keep the mount for ever.
        subprocess.run(["umount", "-l", str(place)], check=True)


class _Publishing:
    """One publisher, one event at a time; a refusal must be DiskFull, and quick."""

    def __init__(self, socket: Path, ledger: Ledger) -> None:
        self.client = Client.connect(socket, reconnect_s=0)
        self.epoch = self.client._core.source_epoch  # pyright: ignore[reportPrivateUsage] - what readers know it by
        self.source: Source = ledger.source(self.epoch)
        self.ledger = ledger
        self.slowest_refusal_s = 0.0

    def publish(self, size: int) -> bool:
        number = self.source.sent
        self.source.sent += 1
        started = time.monotonic()
        try:
            published = self.client.publish("load/one", {"n": number, "pad": "x" * size}, level="synced")
        except DiskFull:
            self.source.refused.add(number)
            self.slowest_refusal_s = max(self.slowest_refusal_s, time.monotonic() - started)
            return False
        self.source.acknowledged.add(number)
        self.ledger.place(published.offset, self.epoch, number)
        return True


class _FullEvents(Reading):
    """A reader that keeps what the broker says of itself."""

    def __init__(self, socket: Path, ledger: Ledger) -> None:
        super().__init__(socket, ledger)
        self.told: list[Event] = []
        take = self.reading.take

        def keep(event: Event) -> None:
            if event.tag == "sylvite/log/full":
                self.told.append(event)
            take(event)

        self.reading.take = keep


def _fill_and_free(forks: Forks, started: Started, start: Start, size: int, volume: Path | None) -> dict[str, float]:
    """Publish until the disk is full, with a reader beside; free space; publish again; look at it all.

    `volume`: fill it with another file and remove that; None: lift the limit of file sizes instead.
    """
    place, ledger = Path(start.folder), Ledger()
    publishing = _Publishing(place / "bus.sock", ledger)
    reader = _FullEvents(place / "bus.sock", ledger)
    reader.start()
    try:
        assert publishing.publish(size)
        if volume is not None:
            status = os.statvfs(volume)
            with (volume / "filler").open("wb") as filler:
                os.posix_fallocate(filler.fileno(), 0, max(status.f_bavail * status.f_frsize - 64 * 1024, 1))
        while publishing.publish(size):
            assert len(publishing.source.acknowledged) < 20_000, "the disk does not fill up"
        refused = sum(not publishing.publish(size) for _ in range(TRIES))
        assert refused == TRIES, "refused, then taken, with no more space than before"
        end = len(publishing.source.acknowledged)
        wait_until(lambda: reader.reading.events >= end, within_s=20, what="the live reader has everything")
        read_to_end(place / "bus.sock", ledger.reading())
        freed = time.monotonic()
        if volume is not None:
            (volume / "filler").unlink()
        else:
            resource.prlimit(started.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        wait_until(lambda: publishing.publish(size), within_s=RESUMED_WITHIN_S, what="publishing goes on by itself")
        resumed_s = time.monotonic() - freed
        for _ in range(TRIES):
            assert publishing.publish(size)
        # The broker tells of it behind the first event that it could write.
        wait_until(lambda: bool(reader.told), within_s=20, what="the event sylvite/log/full")
        reader.finish_at(publishing.client.ask("log")["end"])
    finally:
        reader.give_up()
        publishing.client.close()
    assert [event.data["refused"] for event in reader.told] == [len(publishing.source.refused)]
    reader.reading.finish()
    forks.kill(started.pid)
    assert "Traceback" not in broker_output(place), broker_output(place)
    again = forks.start(start)
    assert again.ready, broker_output(place)
    reading = ledger.reading()
    read_to_end(place / "bus.sock", reading)
    reading.finish()
    forks.kill(again.pid)
    assert not any(ledger.wrong.values()), ledger.first_wrong
    return {
        **ledger.counters,
        "slowest_refusal_s": round(publishing.slowest_refusal_s, 4),
        "resumed_s": round(resumed_s, 4),
        "refused": len(publishing.source.refused),
        "acknowledged": len(publishing.source.acknowledged),
    }


TARGET = {**dict.fromkeys(COUNTERS, 0.0), "slowest_refusal_s": REFUSED_WITHIN_S, "resumed_s": RESUMED_WITHIN_S}


def _on_a_small_volume(forks: Forks, folder: Path, keep_free: int, *, without: str | None = None) -> None:
    settings = BrokerSettings(log=LogSettings(segment_bytes=2 * MIB, keep_free_bytes=keep_free))
    with _small_volume(folder / "volume") as volume:
        start = Start(str(folder), settings, log_folder=str(volume / "log"), without=without)
        started = forks.start(start)
        assert started.ready, broker_output(folder)
        counters = _fill_and_free(forks, started, start, 20_000, volume)
    report("A-08", seed=0, runs=1, counters=counters, target=TARGET)


@pytest.mark.parametrize(("keep_free", "without"), [(MIB, None), (0, "looking at free space")])
def test_a_full_volume_refuses_publishers_until_there_is_space_again(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, keep_free: int, without: str | None
) -> None:
    """Refused at once with DiskFull; readers go on; then it works again by itself, and nothing is lost or torn.

    Before it is full, and where only the disk itself says so.
    """
    _on_a_small_volume(forks, tmp_path_factory.mktemp("a08"), keep_free, without=without)


def test_a_broker_that_does_not_know_a_full_disk_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Negative control."""
    with control("A-08", without="knowing a full disk", match="could not be written", by=SylviteError):
        _on_a_small_volume(forks, tmp_path_factory.mktemp("a08"), 0, without="knowing a full disk")


def test_a_limit_of_file_sizes_is_a_full_disk(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """EFBIG, by RLIMIT_FSIZE, on a real broker."""
    folder = tmp_path_factory.mktemp("a08")
    settings = BrokerSettings(log=LogSettings(segment_bytes=8 * MIB, keep_free_bytes=0))
    start = Start(str(folder), settings, file_bytes_max=5 * MIB)
    started = forks.start(start)
    assert started.ready, broker_output(folder)
    counters = _fill_and_free(forks, started, start, 20_000, None)
    report("A-08", seed=0, runs=1, counters=counters, target=TARGET)


# -- The model ---------------------------------------------------------------------------------------------------------

SMALL = LogSettings(segment_bytes=4 * 1024, keep_free_bytes=0)


@pytest.mark.parametrize("call", ["write", "reserve", "open"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_whatever_takes_nothing_more_is_a_full_disk(error: int, call: str) -> None:
    """Also in the middle of a write: what was refused is not there, what was answered is, and it goes on."""
    storage = MemoryStorage()
    log = open_log(storage, SMALL)
    append(log, 0, 10)
    sync(log)
    fault = storage.fail(error, call=call, sticky=True, torn=call == "write")
    taken = 10
    with pytest.raises(DiskFull):
        while True:
            append(log, taken, 10)
            taken += 10
    assert fault.happened
    assert numbers(read_all(log)) == list(range(taken))
    storage.faults.clear()
    append(log, taken, 5)
    sync(log)
    for seed in range(5):
        assert numbers(read_all(open_log(storage.after_power_cut(random.Random(seed)), SMALL))) == list(
            range(taken + 5)
        )
    assert numbers(read_all(open_log(storage.after_kill(), SMALL))) == list(range(taken + 5))
    report("A-08", seed=0, runs=1, counters={"lost": 0, "revived": 0})


def _refuse_in_the_middle_of_a_write() -> None:
    """What a failed write has left is no longer there, though the next one is shorter."""
    storage = MemoryStorage()
    log = open_log(storage, SMALL)
    storage.fail(errno.ENOSPC, call="write", torn=True)
    with pytest.raises(DiskFull):
        append(log, 0, 10, size=200)
    append(log, 0, 1)
    sync(log)
    torn = [note for note in open_log(storage.after_kill(), SMALL).notes if note.kind == "recovered"]
    report("A-08", seed=0, runs=1, counters={"torn": len(torn)})


def test_a_half_written_event_is_erased() -> None:
    _refuse_in_the_middle_of_a_write()


def test_a_half_written_event_that_is_not_erased_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: it stays there."""

    def leave_it(log: EventLog, *_: object) -> None:
        del log

    monkeypatch.setattr(EventLog, "_erase", leave_it)
    with control("A-08", without="erasing half a write"):
        _refuse_in_the_middle_of_a_write()
