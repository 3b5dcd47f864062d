"""D-08: a socket that another user can reach, at any instant of many starts."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.forked_brokers import Forks, Start, broker_output, forked_brokers
from tests.faults.other_user import IsWanted, needs_root, other_user
from tests.faults.report import report

pytestmark = needs_root
SETTINGS = BrokerSettings(log=LogSettings(keep_free_bytes=0, segment_bytes=64 * 1024))
LONG_STARTS = int(os.environ.get("SYLVITE_FAULTS_STARTS", "1000"))


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


def connect_again_and_again(is_wanted: IsWanted) -> dict[str, int]:
    """Return how often each thing happened; `reached` is also a socket that nobody listens to yet."""
    found: Counter[str] = Counter(reached=0, forbidden=0)
    while is_wanted():
        for _ in range(200):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
                try:
                    caller.connect("bus.sock")
                except FileNotFoundError:
                    found["absent"] += 1
                except PermissionError:
                    found["forbidden"] += 1
                except OSError:
                    found["reached"] += 1
                else:
                    found["reached"] += 1
    return found


def _start_often(forks: Forks, folder: Path, *, starts: int, without: str | None = None) -> None:
    """The folder of the socket is open to all: its mode is the only wall.  Every second broker dies, and leaves it."""
    public = folder / "public"
    public.mkdir(mode=0o755)
    start = Start(str(folder / "private"), SETTINGS, socket=str(public / "bus.sock"), without=without)
    with other_user(connect_again_and_again, public) as caller:
        for number in range(starts):
            broker = forks.start(start)
            assert broker.ready, broker_output(folder / "private")
            if number % 2:
                forks.kill(broker.pid)
            else:
                assert forks.stop(broker.pid) == 0
        found = caller.result()
    assert found["forbidden"] + found["reached"] > starts, f"the socket was hardly ever seen: {found}"
    counters = {"reached": found["reached"], "forbidden": found["forbidden"], "absent": found.get("absent", 0)}
    report("D-08", seed=0, runs=starts, counters=counters, target={"reached": 0}, without=without)


def test_no_other_user_reaches_the_socket(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    _start_often(forks, tmp_path_factory.mktemp("d08"), starts=20)


@pytest.mark.long
def test_no_other_user_reaches_the_socket_in_many_starts(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _start_often(forks, tmp_path_factory.mktemp("d08"), starts=LONG_STARTS)


def test_a_mode_that_comes_after_the_name_is_found_out(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Negative control: bind first, chmod a moment later."""
    with pytest.raises(AssertionError, match='"row": "D-08"'):
        _start_often(forks, tmp_path_factory.mktemp("d08"), starts=10, without="the mode at bind")
