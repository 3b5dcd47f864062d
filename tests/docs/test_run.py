"""`make run`, as a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite import Client
from tests.docs.blocks import PROJECT
from tests.docs.session import WITHIN_S, at_most

SCRIPT = PROJECT / "examples" / "run.py"


class Run:
    """The script, and what it has printed so far."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, SCRIPT], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**os.environ, "TMPDIR": str(folder)}, start_new_session=True,
        )  # fmt: skip

    def until(self, pattern: str) -> re.Match[str]:
        """Read lines up to the first that fits."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if found := re.search(pattern, line):
                return found
        pytest.fail(f"{pattern!r} was not printed: {self.process.communicate()[1]}")

    def end(self) -> None:
        """End it as its user would: so it ends what it has started, too."""
        self.process.terminate()
        self.process.communicate(timeout=WITHIN_S)


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    started = Run(tmp_path_factory.mktemp("run"))
    with at_most(WITHIN_S):
        yield started
    started.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_shows_events_and_leaves_nothing_behind(run: Run, number: signal.Signals) -> None:
    socket = Path(run.until(r"SYLVITE_SOCKET=(\S+)")[1])
    run.until(r'@0  myco/hello  from="make run"')
    with Client.connect(socket) as bus:
        broker = int(bus.welcome.broker.partition(":")[2])
        bus.publish("myco/from/elsewhere", {"n": 7})
    run.until(r"@1  myco/from/elsewhere  n=7")
    run.process.send_signal(number)
    _, errors = run.process.communicate()
    assert (run.process.returncode, errors) == (0, "")
    assert not socket.parent.exists()
    assert not Path(f"/proc/{broker}").exists()


def test_the_commands_that_it_prints_work(run: Run, tmp_path: Path) -> None:
    """Copied into another shell, in another folder."""
    lines = [run.until(r"^ {4}(.*)")[1] for _ in range(3)]
    run.until("myco/hello")
    script = "\n".join([lines[0], lines[1], lines[2].replace("--follow", "--last 1 -o tag")])
    done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "@1\nmyco/deploy/done\n"
    run.until("myco/deploy/done")


def test_a_broker_that_ends_is_said_in_one_line(run: Run) -> None:
    socket = Path(run.until(r"SYLVITE_SOCKET=(\S+)")[1])
    run.until("myco/hello")
    with Client.connect(socket) as bus:
        broker = int(bus.welcome.broker.partition(":")[2])
    subprocess.run(["kill", "-KILL", str(broker)], check=True)
    _, errors = run.process.communicate()
    assert (run.process.returncode, errors) == (1, "make run: the broker has ended (exit code -9)\n")
    assert not socket.parent.exists()


def test_what_cannot_start_is_said_in_one_line(tmp_path: Path) -> None:
    long = tmp_path / ("long" * 30)
    long.mkdir()
    run = Run(long)
    _, errors = run.process.communicate(timeout=WITHIN_S)
    assert run.process.returncode == 1
    assert errors.startswith("make run: ")
    assert errors.count("\n") == 1
    assert "too long" in errors


def test_make_run_is_this() -> None:
    assert "\nrun: .venv/ready" in (PROJECT / "Makefile").read_text()
    assert "$(PY) examples/run.py" in (PROJECT / "Makefile").read_text()
