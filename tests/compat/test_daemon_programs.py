"""`salt-master`, `salt-minion` and `salt-api`, started as one starts Salt's: with a folder of files in Salt's form."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.client.sync_client import Client
from tests.compat.nodes import write_programs
from tests.compat.places import WITHIN_S, shim_environment, wait_until
from tests.daemons.nodes import free_port

NOBODY = 65534
FILES = {
    "master": """\
# Primary configuration of a Salt master
interface: 127.0.0.1
publish_port: {publish_port}
ret_port: {ret_port}
root_dir: {root}
pidfile: /var/run/salt-master.pid
log_level: info
worker_threads: 5
file_roots:
  base:
    - {root}/srv/salt
rest_cherrypy:
  port: {api_port}
  host: 127.0.0.1
  disable_ssl: true
""",
    "minion": """\
# Primary configuration of a Salt minion
master: 127.0.0.1
master_port: {ret_port}
id: web1
root_dir: {root}
acceptance_wait_time: 1
""",
}


class Place:
    """A machine with Salt's programs and files; `kill` ends what is left of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "root"
        self.files = folder / "etc"
        self.files.mkdir()
        self.ports = {name: str(free_port()) for name in ("publish_port", "ret_port", "api_port")}
        for name, text in FILES.items():
            (self.files / name).write_text(text.format(root=self.root, **self.ports))
        path = os.pathsep.join((str(write_programs(folder / "bin")), os.environ["PATH"]))
        self.environment = {**shim_environment(), "PATH": path}
        self._pids: list[int] = []

    def run(self, line: str) -> tuple[int, str, str]:
        done = subprocess.run(
            ["sh", "-c", line], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=WITHIN_S,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def pid(self, file: Path) -> int:
        """Return the process that a daemon has written down."""
        self._pids.append(int(file.read_text()))
        return self._pids[-1]

    def kill(self) -> None:
        for pid in self._pids:
            if _runs(pid):
                os.killpg(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    """Whether it does; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.kill()


def test_a_day_with_the_programs(place: Place) -> None:
    """In the background: a master, a minion, the HTTP interface; a key, a job, an event; and the end of all."""
    run = place.run
    assert run("salt-master -c etc -d --log-level=info") == (0, "", "")
    master_pid = place.root / "var" / "run" / "salt-master.pid"
    pids = [place.pid(master_pid)]
    assert run("salt-minion -c etc --daemon --pid-file=minion.pid --log-file minion.log -l debug") == (0, "", "")
    assert run("salt-api -c etc -d --pid-file api.pid --disable-keepalive") == (0, "", "")
    pids += [place.pid(place.folder / f"{name}.pid") for name in ("minion", "api")]
    bus = place.root / "var" / "run" / "sylvite" / "master" / "bus.sock"
    with Client.connect(bus) as client:
        client.wait("salt/auth", where="data.act == 'pend'", since="oldest", timeout_s=WITHIN_S)
        listed = "Accepted Keys:\nDenied Keys:\nUnaccepted Keys:\nweb1\nRejected Keys:\n"
        assert run("salt-key -c etc -L") == (0, listed, "")
        moved = "The following keys are going to be accepted:\nUnaccepted Keys:\nweb1\nKey for minion web1 accepted.\n"
        assert run("salt-key -c etc -y -a web1") == (0, moved, "")
        client.wait("salt/minion/web1/start", since="oldest", timeout_s=WITHIN_S)
    assert run("salt -c etc '*' test.ping") == (0, "web1:\n    True\n", "")
    assert run("salt-call -c etc event.send myco/a '{n: 1}'") == (0, "local:\n    True\n", "")
    assert run("salt-run -c etc event.send myco/b") == (0, "True\n", "")
    code, out, _ = run(f"curl -sS http://127.0.0.1:{place.ports['api_port']}/")
    assert (code, out[:21]) == (0, '{"return": "Welcome",')
    for pid in reversed(pids):
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda pid=pid: not _runs(pid), f"{pid} ends")
    assert not master_pid.exists()
    assert not list(place.folder.glob("*.pid"))
    assert "minion web1 is let in" in (place.folder / "minion.log").read_text()
    log = (place.root / "var" / "log" / "sylvite" / "master").read_text()
    assert log.count("link is ready") == 1, "what is logged stands there once"
    assert "the interface is at" in (place.root / "var" / "log" / "sylvite" / "api").read_text()
    assert "pidfile" not in log, "it is of use, and no warning"


@pytest.mark.parametrize(("name", "number"), [("salt-master", signal.SIGTERM), ("salt-minion", signal.SIGINT)])
def test_in_the_foreground(place: Place, name: str, number: signal.Signals) -> None:
    """As systemd starts it, and as one does to look at it."""
    program = subprocess.Popen(
        [name, "-c", "etc", "--pid-file", "its.pid"], cwd=place.folder, env=place.environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert program.stderr is not None
    begun = "link is ready" if name == "salt-master" else "is not reached"
    while begun not in program.stderr.readline():
        assert program.poll() is None
        assert select.select([program.stderr], [], [], WITHIN_S)[0]
    assert place.pid(place.folder / "its.pid") == program.pid
    program.send_signal(number)
    out, _ = program.communicate(timeout=WITHIN_S)
    assert (out, program.returncode) == ("", 0)
    assert not (place.folder / "its.pid").exists()


def test_a_second_one_does_not_start(place: Place) -> None:
    assert place.run("salt-minion -c etc -d --pid-file its.pid")[0] == 0
    pid = place.pid(place.folder / "its.pid")
    code, _, err = place.run("salt-minion -c etc --pid-file its.pid")
    assert (code, err) == (
        78,
        f"[CRITICAL] pidfile: '{place.folder}/its.pid' is that of process {pid}, which runs: stop it first\n",
    )
    code, _, err = place.run("salt-minion -c etc -d --pid-file its.pid")
    assert code == 78
    # The log, whose end is shown, is that of the first one too.
    assert "which runs: stop it first\n" in err
    assert err.endswith("salt-minion: error: it has not started\n")


def test_a_number_that_a_crash_has_left_is_of_no_meaning(place: Place) -> None:
    (place.folder / "its.pid").write_text(f"{os.getpid()}\n")
    assert place.run("salt-minion -c etc -d --pid-file its.pid")[0] == 0
    assert place.pid(place.folder / "its.pid") != os.getpid()


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("salt-master -c nowhere", 78, "[CRITICAL] config: '{0}/nowhere' cannot be read: No such file or directory\n"),
        ("salt-master -c etc more", 64, "Usage: salt-master [options]\n\nsalt-master: error: unexpected argument 'more'\n"),
        ("salt-minion -c etc -d -u nobody-at-all", 64, "there is no user 'nobody-at-all'\n"),
        ("salt-minion -c etc -d --pid-file /proc/its.pid", 78, "salt-minion: error: it has not started\n"),
        ("salt-minion -c etc -d --log-file /proc/its.log", 78, "log_file: '/proc/its.log' cannot be written: No such file or directory\n"),
        ("salt-minion -c etc -l loud", 64, "salt-minion: error: 'loud' is no level of logs: all, garbage, trace, debug, "),
        ("sed -i /rest_cherrypy/,/ssl/d etc/master; salt-api -c etc", 78, "has no port: salt-api serves what this part of the master's file says\n"),
    ],
)  # fmt: skip
def test_what_cannot_be_started(place: Place, line: str, code: int, said: str) -> None:
    found, out, err = place.run(line)
    assert (found, out) == (code, "")
    assert said.format(place.folder) in err
    assert "Traceback" not in err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_as_another_user() -> None:
    """All of its rights are that user's, and there is no way back."""
    source = """
import os
from sylvite.compat.daemon_programs import become
become("nobody")
print(os.getresuid(), os.getresgid(), set(os.getgroups()) <= {65534}, os.environ["USER"])
become("nobody")
become("root")
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert done.stdout == f"{(NOBODY,) * 3} {(NOBODY,) * 3} True nobody\n"
    assert done.stderr.endswith("UsageError: only root can run it as 'root'\n")
