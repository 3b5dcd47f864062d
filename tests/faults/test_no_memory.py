"""A-12: allocations fail: the N-th one in the steps of a broker's life, and those of a whole broker that has too little."""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.errors import AckUnknown, ConnectionLost, SylviteError
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.forked_brokers import Forks, Start, Started, broker_output, forked_brokers
from tests.faults.ledger import COUNTERS, Ledger, Source
from tests.faults.report import control, report
from tests.faults.traffic import read_to_end

ROOT = Path(__file__).parents[2]
SETTINGS = BrokerSettings(log=LogSettings(segment_bytes=256 * 1024, keep_free_bytes=0))
DOCUMENTED = {0, 70, 74, 75}
"""Exit codes of docs/operations.md that a broker may end with here."""
OPERATIONS = ("encode", "encode_common", "append", "recover", "fan_out")
CRASHES = (signal.SIGSEGV, signal.SIGABRT)
"""What libraries in C do that do not look whether they were given memory."""
WITHIN_S = 280.0

has_hook = pytest.mark.skipif(find_spec("_testcapi") is None, reason="this build of Python has no _testcapi")


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a12")


def _fail_allocations(
    operation: str, folder: Path, *, many: int, step: int, without: str | None = None
) -> None:  # fmt: skip
    """Raises AssertionError: a log, a block or a reader was left with what must not be."""
    place = folder / f"{operation}{many}"
    place.mkdir()
    command = [sys.executable, "-m", "tests.faults.no_memory_program", operation, str(place), str(many), str(step)]
    done = subprocess.run(
        [*command, *([without] if without else [])], cwd=ROOT, capture_output=True, check=True, timeout=WITHIN_S
    )
    answer = json.loads(done.stdout)
    outcomes, wrong = answer["outcomes"], answer["wrong"]
    assert outcomes.get("done") == 1, outcomes
    assert outcomes.get("no memory") or without, "no allocation has failed"
    assert not wrong, f"{operation}, {many} in a row: {wrong[0]}, and {len(wrong) - 1} more"
    # The interpreter, or a library in C, may itself take it for something else, or end the process.
    ended = sum(count for outcome, count in outcomes.items() if outcome.startswith("ended"))
    counters = {"wrong": len(wrong), "no_memory": outcomes.get("no memory", 0), "process_ended": ended}
    row = f"A-12 {operation}"
    report(row, seed=0, runs=sum(outcomes.values()), counters=counters, target={"wrong": 0}, without=without)


@has_hook
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_allocation_that_fails_leaves_all_or_nothing(operation: str, folder: Path) -> None:
    """A sample of the N-th allocations, alone and with 24 others behind it; the long form has all of them."""
    step = 1 if operation.startswith("encode") else 17
    for many in (1, 25):
        _fail_allocations(operation, folder, many=many, step=step)


@has_hook
@pytest.mark.long
@pytest.mark.parametrize("many", [1, 2, 25])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_allocation_that_fails_leaves_all_or_nothing(operation: str, many: int, folder: Path) -> None:
    _fail_allocations(operation, folder, many=many, step=1)


@has_hook
def test_a_log_that_goes_on_from_the_middle_of_a_write_is_found_out(folder: Path) -> None:
    """Negative control: the next events then get offsets that are taken."""
    with control("A-12", without="noticing", match="went on, and behind what was there before"):
        _fail_allocations("append", folder, many=1, step=1, without="noticing")


# -- A whole broker ------------------------------------------------------------------------------------------------


class _Publishing:
    """Publishes until the broker is gone, or ends the connection; keeps what it was told in a ledger."""

    def __init__(self, ledger: Ledger, socket: Path) -> None:
        self.ledger = ledger
        self.client = Client.connect(socket, reconnect_s=0)
        self.epoch = self.client._core.source_epoch  # pyright: ignore[reportPrivateUsage] - what readers know it by
        self.source: Source = ledger.source(self.epoch)

    def publish(self, count: int, size: int) -> bool:
        """Return whether the connection still stands."""
        for _ in range(count):
            number = self.source.sent
            self.source.sent += 1
            try:
                published = self.client.publish("load/one", {"n": number, "pad": "x" * size}, level="written")
            except (AckUnknown, ConnectionLost):
                return False
            except SylviteError:
                self.source.refused.add(number)
                continue
            self.source.acknowledged.add(number)
            self.ledger.place(published.offset, self.epoch, number)
        return True


def _look(
    forks: Forks, started: Started, place: Path, ledger: Ledger, counters: Counter[str], crashes: Collection[int] = ()
) -> None:
    """See how the broker has ended, or end it; and what is in its log.  `crashes`: signals that may have ended it."""
    code = forks.stop(started.pid)
    counters["ended_by_itself"] += code != 0
    output = broker_output(place)
    crashed = -code in crashes
    counters["crashes_of_libraries"] += crashed
    assert code in DOCUMENTED or crashed, f"exit code {code}: {output}"
    # Where any allocation may fail, so may those that the interpreter makes to tell of the first one.
    counters["tracebacks"] += "Traceback" in output
    assert crashes or "Traceback" not in output, output
    counters["lacks_of_memory"] += "no memory" in output
    again = forks.start(Start(str(place), SETTINGS))
    assert again.ready, broker_output(place)
    reading = ledger.reading()
    read_to_end(place / "bus.sock", reading)
    reading.finish()
    forks.kill(again.pid)
    assert not any(ledger.wrong.values()), ledger.first_wrong
    counters.update(ledger.counters)
    assert crashed or "log recovered" not in broker_output(place), "half of something was in the log"


TARGET = dict[str, float](dict.fromkeys(COUNTERS, 0))


def _with_little_address_space(forks: Forks, folder: Path, more_mib: list[int], *, without: str | None = None) -> None:
    """Give a broker so much address space more than it has, and let readers that do not read and big events fill it."""
    counters: Counter[str] = Counter(dict.fromkeys(TARGET, 0))
    for more in more_mib:
        place, ledger = folder / str(more), Ledger()
        started = forks.start(Start(str(place), SETTINGS, without=without))
        assert started.ready, broker_output(place)
        has = int(Path(f"/proc/{started.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        limit = has + more * 1024 * 1024
        resource.prlimit(started.pid, resource.RLIMIT_AS, (limit, limit))
        socket = place / "bus.sock"
        idle = [Client.connect(socket, reconnect_s=0) for _ in range(8)]
        try:
            for client in idle:
                client.subscribe("load/", credit_bytes=16 * 1024 * 1024)
            for _ in range(8):
                publishing = _Publishing(ledger, socket)
                idle.append(publishing.client)
                if not publishing.publish(6, 1_000_000):
                    counters["connections_ended"] += 1
        except ConnectionLost:
            counters["connections_ended"] += 1  # It has ended by itself.
        finally:
            for client in idle:
                client.close()
        _look(forks, started, place, ledger, counters)
    report(
        "A-12 address space", seed=0, runs=len(more_mib), counters=dict(counters), target=TARGET, without=without
    )  # fmt: skip
    assert counters["lacks_of_memory"], "there was memory enough"


def test_a_broker_with_little_address_space_ends_connections_or_itself_and_keeps_its_log(
    forks: Forks, folder: Path
) -> None:
    _with_little_address_space(forks, folder, [0, 2, 4, 8, 16, 112])


@has_hook
@pytest.mark.parametrize(
    ("runs", "seed"), [(40, 1), *(pytest.param(100, seed, marks=pytest.mark.long) for seed in (2, 3, 4, 5))]
)
def test_a_broker_whose_allocations_fail_ends_connections_or_itself_and_keeps_its_log(
    forks: Forks, folder: Path, runs: int, seed: int
) -> None:
    """At any of the first 20,000 allocations of a broker that serves."""
    rng = random.Random(seed)
    counters: Counter[str] = Counter(dict.fromkeys(TARGET, 0))
    for run in range(runs):
        place, ledger = folder / str(run), Ledger()
        fails = (rng.randrange(1, 20_000), rng.choice((1, 1, 3, 30)))
        started = forks.start(Start(str(place), SETTINGS, allocations_fail=fails))
        assert started.ready, broker_output(place)
        try:
            with Client.connect(place / "bus.sock", reconnect_s=0) as reader, reader.subscribe("load/") as read:
                publishing = _Publishing(ledger, place / "bus.sock")
                with publishing.client:
                    for _ in range(10):
                        if not publishing.publish(10, rng.choice((10, 3000))):
                            break
                        read.next(0)
        except ConnectionLost:
            counters["connections_ended"] += 1
        try:
            _look(forks, started, place, ledger, counters, CRASHES)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, run {run}, allocations {fails}: {error}") from error
    report("A-12 broker", seed=seed, runs=runs, counters=dict(counters), target=TARGET)
