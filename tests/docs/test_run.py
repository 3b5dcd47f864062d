"""`make run`, as a process."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sylvite import Client
from tests.docs.blocks import PROJECT
from tests.docs.script import Run
from tests.docs.session import WITHIN_S, at_most

SCRIPT = "run.py"


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    started = Run(SCRIPT, tmp_path_factory.mktemp("run"))
    with at_most(3 * WITHIN_S):
        yield started
    started.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_lets_a_minion_in_runs_a_job_and_leaves_nothing_behind(run: Run, number: signal.Signals) -> None:
    """The whole way: the key that waits, its fingerprint on both sides, the acceptance, the start, a job."""
    folder = Path(run.until(r"a master and a minion below (\S+),")[1])
    master = run.until(r"^((?:[0-9a-f]{2}:){31}[0-9a-f]{2})$")[1]
    run.until(r"@\d+  salt/auth  result=True act='pend' id='demo'")
    run.until(r"^\$ sylvite keys finger demo$")
    fingerprint = run.until(r"^demo  pending  (\S+)$")[1]
    assert fingerprint != master
    assert run.until(r"^((?:[0-9a-f]{2}:){31}[0-9a-f]{2})$")[1] == fingerprint
    run.until(r"^\$ sylvite keys accept demo --yes$")
    run.until(r"salt/key  result=True act='accepted' id='demo'")
    run.until(r"salt/minion/demo/start  ")
    run.until(r"^\$ sylvite jobs run '\*' test.ping$")
    run.until(r"salt/job/(\d{20})/ret/demo  .*return=True")
    run.until("From a second terminal")
    pids = of_folder(folder)
    assert len(pids) >= 3
    with Client.connect(folder / "bus" / "master" / "bus.sock") as bus:
        bus.publish("myco/from/elsewhere", {"n": 7})
    run.until(r"@\d+  myco/from/elsewhere  n=7")
    run.process.send_signal(number)
    _, errors = run.process.communicate()
    assert (run.process.returncode, errors) == (0, "")
    assert not folder.exists()
    assert of_folder(folder) == set()


def test_the_address_of_the_console_that_it_prints_lets_one_in(run: Run) -> None:
    run.until(r"^\$ sylvite console --within 10m$")
    address = urlsplit(run.until(r"^(http://127\.0\.0\.1:\d+/console/login\?code=\S+)$")[1])
    connection = http.client.HTTPConnection(address.netloc, timeout=WITHIN_S)
    for answers in ("../console", "../console#/login?link=over"):
        connection.request("GET", f"{address.path}?{address.query}")
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.getheader("location")) == (303, answers)
    connection.close()


def of_folder(folder: Path) -> set[int]:
    """Return the processes whose command line names a folder."""
    found: set[int] = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.add(int(path.parent.name))
        except OSError:
            pass  # It has ended meanwhile.
    return found


def test_the_commands_that_it_prints_work(run: Run, tmp_path: Path) -> None:
    """Copied into another shell, in another folder."""
    run.until("From a second terminal")
    lines = [run.until(r"^ {4}(.*)")[1] for _ in range(4)]
    run.until("Events:")
    done = subprocess.run(
        ["bash", "-ec", "\n".join(lines)], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=WITHIN_S
    )
    assert re.match(r"@\d+\n", done.stdout)
    assert "demo:\n    hello\n" in done.stdout
    assert "salt/minion/demo/start" in done.stdout
    run.until("myco/deploy/done")


@pytest.mark.parametrize("node", ["master", "minion"])
def test_a_daemon_that_ends_is_said_in_one_line(run: Run, node: str) -> None:
    folder = Path(run.until(r"a master and a minion below (\S+),")[1])
    run.until("Events:")
    (pid,) = [pid for pid in of_folder(folder) if f"{node}\0--config" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(pid, signal.SIGKILL)
    _, errors = run.process.communicate()
    assert run.process.returncode == 1
    assert errors.startswith(f"make run: the {node} has ended (exit code -9)")
    assert errors.count("\n") == 1
    assert not folder.exists()


def test_nothing_outlives_it_even_if_it_is_killed(run: Run) -> None:
    """Its daemons notice that nobody leads them any more."""
    folder = Path(run.until(r"a master and a minion below (\S+),")[1])
    run.until("Events:")
    pids = of_folder(folder)
    run.process.kill()
    run.process.wait()
    while of_folder(folder) & pids:
        time.sleep(0.05)
    shutil.rmtree(folder)


def test_what_cannot_start_is_said_in_one_line(tmp_path: Path) -> None:
    long = tmp_path / ("long" * 30)
    long.mkdir()
    run = Run(SCRIPT, long)
    _, errors = run.process.communicate(timeout=WITHIN_S)
    assert run.process.returncode == 1
    assert errors.startswith("make run: ")
    assert errors.count("\n") == 1
    assert "too long" in errors


def test_make_run_is_this() -> None:
    assert "\nrun: .venv/ready" in (PROJECT / "Makefile").read_text()
    assert "$(PY) examples/run.py" in (PROJECT / "Makefile").read_text()
