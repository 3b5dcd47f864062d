"""What `make run-cluster` does: three NATS servers, two masters that share their events and minions, four minions, on this machine;
a job for all of them; then all events, live, as one master's bus has them, and how to kill the other."""

from __future__ import annotations

import contextlib
import json
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from run import PROGRAM, WITHIN_S, Daemon, Failed, Site, events_of, free_port, say, stop

from sylvite import Client, Event, SylviteError, __version__

MASTERS = ("mars", "venus")
MINIONS = ("web1", "web2", "db1", "db2")


class Servers:
    """`sylvite cluster dev`.  It ends with us, as a daemon does."""

    def __init__(self, folder: Path) -> None:
        self._ours, theirs = socket.socketpair()
        words = ["cluster", "dev", "--dir", folder / "nats", "--masters", ",".join(MASTERS), "--json"]
        with theirs:
            self.process = subprocess.Popen(
                [PROGRAM, *words, "--ready-fd", str(theirs.fileno())],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                pass_fds=(theirs.fileno(),), start_new_session=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], WITHIN_S)
        said = self.process.stdout.readline() if readable else ""
        if not said:
            self.process.kill()
            raise Failed(f"the NATS servers have not started: {self.process.communicate()[1]}")
        found = json.loads(said)
        self.urls: list[str] = found["servers"]
        self.credentials: dict[str, str] = found["credentials"]
        self.system: str = found["system"]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.communicate(timeout=WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        self._ours.close()


class ClusterSite(Site):
    """Two masters and their minions; `SYLVITE_SOCKET` is that of the second master, which is watched."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        super().__init__(folder, stack)
        self.bus = folder / "bus" / MASTERS[1] / "bus.sock"
        self.names = {"SYLVITE_MASTER_CONFIG": str(folder / MASTERS[1]), "SYLVITE_SOCKET": str(self.bus)}
        self.servers = Servers(folder)
        stack.callback(self.servers.stop)

    def begin(self, kind: str, name: str, **options: object) -> Daemon:
        """Start a master or a minion under a name of its own, without waiting for it."""
        below = {key: self.folder / key / name for key in ("data_dir", "pki_dir", "cachedir")}
        settings = {**below, "sock_dir": self.folder / "bus" / name, "id": name, **options}
        (self.folder / name).write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
        daemon = Daemon(self.folder, name, kind)
        if name != MASTERS[0]:
            self.daemons.append(daemon)  # Of the others it is told when they end; this one is there to be killed.
        self._stack.callback(daemon.stop)
        return daemon

    def quietly(self, *words: str) -> str:
        """Run a command of `sylvite` and return what it prints."""
        done = subprocess.run(
            [PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
        if done.returncode:
            raise Failed(done.stderr)
        return done.stdout.strip()


def main() -> int:
    """Return the exit code: 0 when told to stop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        with tempfile.TemporaryDirectory(prefix="sylvite-") as folder, contextlib.ExitStack() as stack:
            show(Path(folder), stack)
    except KeyboardInterrupt:
        say("\nstopped; the temporary folder is gone")
        return 0
    except BrokenPipeError:
        return 0
    except (Failed, SylviteError, OSError) as error:
        print("make run-cluster:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    return 0


def show(folder: Path, stack: contextlib.ExitStack) -> None:
    say(f"Sylvite {__version__}: three NATS servers, two masters and four minions below {folder}, until Ctrl-C.")
    site = ClusterSite(folder, stack)
    ports = {name: free_port() for name in MASTERS}
    seed = make_keys(site)
    masters = [start_master(site, name, ports[name]) for name in MASTERS]
    for daemon in masters:
        daemon.wait_ready()
    finger = site.quietly("keys", "finger", "--config", str(folder / MASTERS[0]))
    for daemon in [start_minion(site, name, ports, finger, seed) for name in MINIONS]:
        daemon.wait_ready()
    with Client.connect(site.bus) as client, events_of(client) as show_until:
        waiting = set(MINIONS)

        def all_have_started(event: Event) -> bool:
            waiting.discard(event.tag.removeprefix("salt/minion/").removesuffix("/start"))
            return not waiting

        show_until(site, all_have_started)
        site.run("cluster", "status", "--system", site.servers.system)
        run_a_job(site)
        explain(site, masters[0])
        show_until(site, lambda _: False)


def make_keys(site: ClusterSite) -> Path:
    """Make all keys beforehand: the masters have one and the same, and know those of the minions."""
    first, *others = (site.folder / "data_dir" / name for name in MASTERS)
    site.quietly("keys", "gen", "--dir", str(first))
    for other in others:
        shutil.copytree(first, other)
    seed = site.folder / "seed"
    for name in MINIONS:
        site.quietly("keys", "gen", name, "--to", str(seed))
        finger = site.quietly("keys", "finger", "--file", str(seed / f"{name}.pub"))
        for folder in (first, *others):
            site.quietly("keys", "accept", name, "--fingerprint", finger, "--dir", str(folder), "--yes")
    return seed


def start_master(site: ClusterSite, name: str, port: int) -> Daemon:
    urls = ",".join(site.servers.urls)
    cluster = f"{{servers: '{urls}', credentials: '{site.servers.credentials[name]}'}}"
    return site.begin("master", name, interface="127.0.0.1", ret_port=port, salt_sockets=False, cluster=cluster)


def start_minion(site: ClusterSite, name: str, ports: dict[str, int], finger: str, seed: Path) -> Daemon:
    pki = site.folder / "pki_dir" / name
    pki.mkdir(mode=0o700, parents=True)
    for ending in ("key", "pub"):
        shutil.copy(seed / f"{name}.{ending}", pki / f"minion.{ending}")
    masters: Sequence[str] = [f"127.0.0.1:{ports[master]}" for master in turned(MASTERS, MINIONS.index(name))]
    return site.begin(
        "minion", name, master=json.dumps(masters), master_finger=f"'{finger}'", acceptance_wait_time=1,
        recon_default=500, salt_sockets=False,
    )  # fmt: skip


def turned(items: Sequence[str], by: int) -> list[str]:
    """Return the items with another one first, so that the masters share the minions."""
    by %= len(items)
    return [*items[by:], *items[:by]]


def run_a_job(site: ClusterSite) -> None:
    """Run a job on the second master, for the minions of both."""
    config = ("--config", str(site.folder / MASTERS[1]))
    deadline = time.monotonic() + WITHIN_S

    def known() -> list[set[str]]:
        keys = json.loads(site.quietly("keys", "list", "--state", "accepted", *config, "--json"))["keys"]
        return [
            {each["id"] for each in found} for found in (keys, json.loads(site.quietly("presence", *config, "--json")))
        ]

    while known() != [set(MINIONS)] * 2:
        if time.monotonic() > deadline:
            raise Failed(f"{MASTERS[1]} does not know the minions of {MASTERS[0]}")
    say(f"\nA job of {MASTERS[1]} reaches the minions of both masters, wherever they are:")
    site.run("presence")
    site.run("jobs", "run", "*", "test.ping")


def explain(site: ClusterSite, victim: Daemon) -> None:
    """Say how to go on from elsewhere."""
    names = " ".join(f"{name}={shlex.quote(value)}" for name, value in site.names.items())
    say(f"\nBelow are the events of {MASTERS[1]}, which has those of {MASTERS[0]} too. From a second terminal:\n")
    say(f"    export {names} PATH={shlex.quote(str(PROGRAM.parent))}:$PATH")
    say(f"    sylvite publish myco/from/{MASTERS[0]} n=1 --socket {site.folder / 'bus' / MASTERS[0] / 'bus.sock'}")
    say(f"    kill -9 {victim.process.pid}       # {MASTERS[0]}, all of it; its minions go over to {MASTERS[1]}")
    say(f"    sylvite master --config {site.folder / MASTERS[0]}       # and back: it gets what it has missed")
    say(f"    sylvite cluster status --system {site.servers.system}\n\nEvents:\n")


if __name__ == "__main__":
    sys.exit(main())
