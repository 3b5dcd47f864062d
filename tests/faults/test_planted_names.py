"""D-07: another user puts links, files and folders where a broker's own are to be, while it starts and stops."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.forked_brokers import Forks, Start, broker_output, forked_brokers
from tests.faults.other_user import IsWanted, needs_root, other_user
from tests.faults.report import report

pytestmark = needs_root
SETTINGS = BrokerSettings(log=LogSettings(keep_free_bytes=0, segment_bytes=64 * 1024))
LONG_ROUNDS = int(os.environ.get("SYLVITE_FAULTS_ROUNDS", "1000"))
FOR_ALL, STICKY = 0o777, 0o1777
CONTENT = "a report of mine"
NAMES = ("bus", "log", "bus.sock", "bus.sock.lock", "bus.tcp", "bus.tcp.lock", "lock", "LOG", "cursors", "cursors.new")


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


class Arena:
    """`shared` is open to all; what is in `victim` must stay as it is."""

    def __init__(self, root: Path, mode: int, name: str) -> None:
        self.root, self.name = root, name
        self.shared, self.victim, self.private = root / "shared", root / "victim", root / "private"
        root.chmod(0o711)
        for path in (self.shared, self.victim):
            path.mkdir()
        self.shared.chmod(mode)
        self.victim.chmod(0o755)
        (self.victim / "file").write_text(CONTENT)
        (self.victim / "file").chmod(0o666)  # Where the kernel is careful, one may link only to what one can write.

    def start(self, without: str | None) -> Start:
        """Return a start that uses the contested name."""
        folder, socket, log = self.private, None, None
        if self.name == "bus":
            folder = self.shared / "bus"
        elif self.name.startswith("bus.sock"):
            socket = self.shared / "bus.sock"
        elif self.name.startswith("bus.tcp"):
            folder, socket, log = self.shared, self.private / "bus.sock", self.private / "log"
        elif self.name == "log":
            log = self.shared / "log"
        else:
            log = self.shared
        return Start(
            str(folder), SETTINGS, socket=str(socket) if socket else None, log_folder=str(log) if log else None,
            tcp=self.name.startswith("bus.tcp"), output=str(self.root / "output"), without=without,
        )  # fmt: skip

    def race(self, is_wanted: IsWanted) -> dict[str, int]:
        """Plant one thing after the other under the name; return how often each could be planted."""
        plants = self._plants()
        planted = dict.fromkeys(plants, 0)
        for number in itertools.count():
            if not is_wanted():
                return planted
            kind = list(plants)[number % len(plants)]
            with suppress(OSError):
                os.unlink(self.name)
            with suppress(OSError):
                os.unlink(f"{self.name}/log")
            with suppress(OSError):
                os.rmdir(self.name)
            with suppress(OSError):
                plants[kind]()
                planted[kind] += 1
        raise AssertionError

    def _plants(self) -> dict[str, Callable[[], None]]:
        name, victim = self.name, str(self.victim)

        def folder_with(inner: str) -> None:
            os.mkdir(name, 0o777)
            os.symlink(victim, f"{name}/{inner}")

        return {
            "link to a folder": lambda: os.symlink(victim, name),
            "link to a file": lambda: os.symlink(victim + "/file", name),
            "link to nothing yet": lambda: os.symlink(victim + "/new", name),
            "hard link": lambda: os.link("../victim/file", name),
            "folder": lambda: folder_with("log"),
            "fifo": lambda: os.mkfifo(name, 0o666),
            "file": lambda: os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)),
        }

    def clear(self) -> None:
        """Give the name free again, where it is a broker's, or a link to a file of root's that none but root can remove."""
        path = self.shared / self.name
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def harm(self) -> int:
        """Return how many things are not as they were outside."""
        found = sorted(path.name for path in self.victim.iterdir())
        file = self.victim / "file"
        status = file.stat() if file.exists() else None
        return (
            (found != ["file"])
            + (status is None or file.read_text() != CONTENT)
            + (status is None or stat.S_IMODE(status.st_mode) != 0o666 or status.st_uid != 0)
            + (stat.S_IMODE(self.victim.stat().st_mode) != 0o755)
        )


def _race(forks: Forks, root: Path, mode: int, name: str, *, rounds: int, without: str | None = None) -> None:
    arena = Arena(root, mode, name)
    start = arena.start(without)
    harmed = started = unexpected = 0
    with other_user(arena.race, arena.shared) as racer:
        for number in range(rounds):
            broker = forks.start(start)
            if broker.ready and number % 2:
                forks.kill(broker.pid)
            else:
                code = forks.stop(broker.pid) if broker.ready else forks.ended(broker.pid)
                unexpected += code not in (0, 75, 78)
            started += broker.ready
            harmed += arena.harm()
            arena.clear()
        planted = racer.result()
    assert sum(planted.values()) > rounds, f"hardly anything was planted: {planted}"
    output = broker_output(root / "output")
    counters = {
        "harm_outside": harmed, "unexpected_ends": unexpected, "tracebacks": output.count("Traceback"),
        "started": started, "planted": sum(planted.values()),
    }  # fmt: skip
    target = {"harm_outside": 0, "unexpected_ends": 0, "tracebacks": 0}
    report("D-07", seed=0, runs=rounds, counters=counters, target=target, without=without)


ALL = pytest.mark.parametrize(
    ("name", "mode"), [(name, mode) for name in NAMES for mode in (FOR_ALL, STICKY)],
    ids=[f"{name} in a folder {kind}" for name in NAMES for kind in ("for all", "with the sticky bit")],
)  # fmt: skip


@ALL
def test_what_is_planted_leads_nowhere(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, name: str, mode: int
) -> None:
    _race(forks, tmp_path_factory.mktemp("d07"), mode, name, rounds=10)


@pytest.mark.long
@ALL
def test_what_is_planted_leads_nowhere_in_many_rounds(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, name: str, mode: int
) -> None:
    _race(forks, tmp_path_factory.mktemp("d07"), mode, name, rounds=LONG_ROUNDS)


def test_without_precautions_links_lead_out(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Negative control: a broker that takes what it finds."""
    with pytest.raises(AssertionError, match='"row": "D-07"'):
        _race(forks, tmp_path_factory.mktemp("d07"), FOR_ALL, "bus", rounds=30, without="precautions")
