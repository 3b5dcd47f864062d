"""What `make run` does: a master and a minion in a temporary folder, the minion let in, a job; then all events, live, until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from sylvite import Client, Event, SylviteError, __version__

PROGRAM = Path(sys.executable).with_name("sylvite")
WITHIN_S = 30.0
MINION = "demo"


class Failed(Exception):
    """Something has not come to be; the message is one line for the user."""


class Daemon:
    """`sylvite master` or `sylvite minion`.  It ends with us, however we end: it notices when its socket is closed.

    `node`: the name of its configuration; also what it is, unless `kind` says that.
    """

    def __init__(self, folder: Path, node: str, kind: str | None = None) -> None:
        self.node, self._log = node, folder / f"{node}.log"
        self._ours, theirs = socket.socketpair()
        with theirs, self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, kind or node, "--config", folder / node, "--ready-fd", str(theirs.fileno())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(theirs.fileno(),), start_new_session=True,
            )  # fmt: skip

    def wait_ready(self) -> None:
        readable, _, _ = select.select([self._ours], [], [], WITHIN_S)
        if not readable or not self._ours.recv(64):
            raise Failed(f"the {self.node} has not started: {self.last_words()}")

    def check(self) -> None:
        if (code := self.process.poll()) is not None:
            raise Failed(f"the {self.node} has ended (exit code {code}): {self.last_words()}")

    def last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if line.startswith("sylvite: ") or ": error: " in line]
        # The last error but one is often the reason for the last.
        return "; ".join(errors[-2:] or lines[-1:] or ["it has said nothing"])

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._ours.close()


def main() -> int:
    """Return the exit code: 0 when told to stop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        with tempfile.TemporaryDirectory(prefix="sylvite-") as folder, contextlib.ExitStack() as stack:
            show(Site(Path(folder), stack))
    except KeyboardInterrupt:
        say("\nstopped; the temporary folder is gone")
        return 0
    except BrokenPipeError:
        # Nobody reads any more; the interpreter must not try once again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Failed, SylviteError, OSError) as error:
        print("make run:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    return 0


def stop(number: int = 0, frame: FrameType | None = None) -> NoReturn:
    """Leave, once: a second Ctrl-C must not disturb the cleaning up."""
    del number, frame
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


class Site:
    """A master and a minion, whose configurations and all that they write are below one folder."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.bus = folder / "bus" / "master" / "bus.sock"
        self.daemons: list[Daemon] = []
        self.names = {"SYLVITE_CONFIG_DIR": str(folder), "SYLVITE_SOCKET": str(self.bus)}

    def start(self, node: str, **options: object) -> None:
        below = {name: self.folder / name / node for name in ("data_dir", "pki_dir", "cachedir")}
        places = {**below, "sock_dir": self.folder / "bus" / node}
        lines = [f"{name}: {value}\n" for name, value in {**places, **options}.items()]
        (self.folder / node).write_text("".join(lines))
        daemon = Daemon(self.folder, node)
        self.daemons.append(daemon)
        self._stack.callback(daemon.stop)
        daemon.wait_ready()

    def run(self, *words: str) -> str:
        """Run a command of `sylvite` as its user would, and show both, it and what it prints; return that."""
        say(f"\n$ sylvite {shlex.join(words)}")
        done = subprocess.run(
            [PROGRAM, *words], env={**os.environ, **self.names}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=WITHIN_S, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Failed(done.stderr)
        say(done.stdout.rstrip())
        return done.stdout.strip()


def show(site: Site) -> None:
    say(f"Sylvite {__version__}: a master and a minion below {site.folder}, until Ctrl-C.")
    port = free_port()
    http = {"host": "127.0.0.1", "port": free_port(), "disable_ssl": "true"}
    flow = ", ".join(f"{name}: {value}" for name, value in http.items())
    site.start("master", id="master", interface="127.0.0.1", ret_port=port, rest_cherrypy=f"{{{flow}}}")
    with Client.connect(site.bus) as client, events_of(client) as show_until:
        master = site.run("keys", "finger")
        say("\nThe minion gets this fingerprint as its master_finger, and starts. It asks to be let in, and waits:\n")
        site.start("minion", id=MINION, master=f"127.0.0.1:{port}", master_finger=f"'{master}'", acceptance_wait_time=1)
        show_until(site, lambda event: event.tag == "salt/auth")
        waiting = site.run("keys", "finger", MINION)
        if site.run("keys", "finger", "--minion") not in waiting:
            raise Failed("the key that waits is not the minion's")
        say("\nThe same on both sides: this is the minion, and nobody else.")
        site.run("keys", "accept", MINION, "--yes")
        show_until(site, lambda event: event.tag == f"salt/minion/{MINION}/start")
        site.run("jobs", "run", "*", "test.ping")
        show_until(site, lambda event: event.tag.endswith(f"/ret/{MINION}"))
        explain(site)
        show_until(site, lambda _: False)


def explain(site: Site) -> None:
    """Say how to go on, in a browser and from elsewhere."""
    say("\nAll of it to look at and to use, in a browser; the address counts once, for ten minutes:")
    site.run("console", "--within", "10m")
    say("\nFrom a second terminal:\n")
    names = " ".join(f"{name}={shlex.quote(value)}" for name, value in site.names.items())
    say(f"    export {names} PATH={shlex.quote(str(PROGRAM.parent))}:$PATH")
    say("    sylvite publish myco/deploy/done version=1.4.2 ok=True")
    say("    sylvite jobs run '*' test.echo hello")
    say("    sylvite tail 'salt/' --since 5m\n\nEvents:\n")


@contextlib.contextmanager
def events_of(client: Client) -> Generator[Callable[[Site, Callable[[Event], bool]], None]]:
    """Give a function that shows the events since it was last called, up to one that is waited for."""
    with client.subscribe(since="oldest") as subscription:

        def show_until(site: Site, is_last: Callable[[Event], bool]) -> None:
            while True:
                event = subscription.next(timeout_s=0.5)
                for daemon in site.daemons:
                    daemon.check()
                if event is not None:
                    say(line_of(event))
                    if is_last(event):
                        return

        yield show_until


def line_of(event: Event) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(event.stamp_ns / 1e9))
    return f"{at}  @{event.offset}  {event.tag}  {short(event.data)}"


def short(data: Mapping[str, Any]) -> str:
    """Return data in one line: keys of minions are long, stamps and None say nothing here."""
    told = {name: value for name, value in data.items() if name not in ("_stamp", "pub") and value is not None}
    return " ".join(f"{name}={value!r}" for name, value in told.items())


def say(text: str) -> None:
    print(text, flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
