"""Three NATS servers on this machine, with the settings that keep our promises: for a first cluster, and for tests.

FOLDER/cluster.json          ports, kept so that a master's file stays right when the servers are started again
FOLDER/NAME.nk               the credentials of each master, and of `system`, who may ask the servers how they are
FOLDER/n1/server.conf        settings; also n2, n3
FOLDER/n1/jetstream/         what it keeps
FOLDER/n1/server.log
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

import msgspec

from sylvite.cluster.nkey import Nkey
from sylvite.errors import ClusterUnreachable, InvalidSetting

NAMES = ("n1", "n2", "n3")
HOST = "127.0.0.1"
SYSTEM = "system"
START_S = 20.0
STOP_S = 10.0
_PORTS = range(10_240, 32_768)
"""Below those that Linux gives to outgoing connections: a server that comes back finds its port free."""
_TRIES = 5
_LOOK_EVERY_S = 0.02
_PR_SET_PDEATHSIG = 1
_prctl: Callable[..., int] = ctypes.CDLL(None).prctl
_random = random.SystemRandom()


class Server(msgspec.Struct, frozen=True):
    """Where one server listens: `port` for masters, `route_port` for the other servers."""

    name: str
    port: int
    route_port: int

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self.port}"


class Plan(msgspec.Struct, frozen=True):
    """What `cluster.json` keeps."""

    servers: tuple[Server, ...]
    route_password: str


class Allowed(msgspec.Struct, frozen=True):
    """The subjects that a master may publish to, and subscribe to."""

    publish: tuple[str, ...] = (">",)
    subscribe: tuple[str, ...] = (">",)


class _PortTaken(Exception):
    """Another program has a port that was to be ours."""


class DevCluster:
    """Servers as processes of ours.  `masters`: the names of those who get credentials, and what each may do.

    Start and stop it from the main thread: the servers die with the thread that started them.
    """

    def __init__(self, folder: Path, masters: Mapping[str, Allowed] | None = None) -> None:
        self.folder = folder.absolute()
        self._masters = dict(masters) if masters is not None else {"master": Allowed()}
        self._plan = Plan((), "")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def servers(self) -> tuple[Server, ...]:
        return self._plan.servers

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run, also paused ones."""
        return {name: process.pid for name, process in self._processes.items() if process.poll() is None}

    def credentials(self, name: str) -> Path:
        return self.folder / f"{name}.nk"

    def config(self, name: str) -> Path:
        return self.folder / name / "server.conf"

    def prepare(self) -> None:
        """Make folders, keys and settings; what is there already is used again.

        Raises:
            InvalidSetting: what is there is of another kind.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = self.folder / "cluster.json"
        if kept.exists():
            try:
                self._plan = msgspec.json.decode(kept.read_bytes(), type=Plan)
            except msgspec.DecodeError as error:
                raise InvalidSetting("dir", str(kept), f"is not ours: {error}; choose another folder") from error
            if tuple(server.name for server in self.servers) != NAMES:
                raise InvalidSetting("dir", str(kept), "has other servers than ours; choose another folder")
        else:
            self._plan = self._make_plan()
            _write(kept, msgspec.json.encode(self._plan))
        keys = {name: self._key(name) for name in (*self._masters, SYSTEM)}
        for server in self.servers:
            (self.folder / server.name).mkdir(mode=0o700, exist_ok=True)
            _write(self.config(server.name), self._settings(server, keys).encode())

    def start(self) -> None:
        """Start all servers, and return once they have elected who leads.

        Raises:
            InvalidSetting: there is no nats-server, it does not take the settings, or another program has a port of ours.
        """
        for left in reversed(range(_TRIES)):
            is_new = not (self.folder / "cluster.json").exists()
            self.prepare()
            try:
                for name in NAMES:
                    self.start_one(name)
                asyncio.run(self.wait_until_led())
            except _PortTaken as error:
                self.stop()
                if not (left and is_new):
                    raise InvalidSetting("cluster", str(error), "has ended: another program has its port") from error
                (self.folder / "cluster.json").unlink()  # Ports that were free a moment ago: others are found.
            except BaseException:
                self.stop()
                raise
            else:
                return

    def start_one(self, name: str) -> None:
        """Start a server that does not run; it may take a moment until it is reachable."""
        if name in self.pids:
            return
        self._processes[name] = subprocess.Popen(
            (find_program(), "-c", str(self.config(name))),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches us, and we stop them in order.
            preexec_fn=_die_with_parent,
        )

    def stop(self) -> None:
        """Stop all servers; who does not within STOP_S is killed."""
        for name in self.pids:
            self._send(name, signal.SIGCONT)
            self._send(name, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def kill(self, name: str) -> None:
        """End a server as a power switch does, as far as a process can tell."""
        self._processes[name].kill()
        self._processes[name].wait()

    def pause(self, name: str) -> None:
        self._send(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self._send(name, signal.SIGCONT)

    def restart_all(self) -> None:
        """Start who does not run, and let who is paused go on; `wait_until_led` tells when they are together again."""
        for name in NAMES:
            if name in self.pids:
                self.resume(name)
            else:
                self.start_one(name)

    async def wait_until_led(self, *, count: int | None = None) -> str:
        """Return the name of the server that leads JetStream, once `count` (else all) servers follow.

        Raises:
            InvalidSetting: a server has ended; what it logged last says why.
            ClusterUnreachable: they did not get that far in time.
        """
        from sylvite.cluster.asking import ask_leader

        deadline = asyncio.get_running_loop().time() + START_S
        wanted = len(NAMES) if count is None else count
        while asyncio.get_running_loop().time() < deadline:
            self._check_running(wanted)
            found = await ask_leader(self.urls, self.credentials(SYSTEM))
            if found is not None and found.following >= wanted:
                return found.leader
            await asyncio.sleep(_LOOK_EVERY_S)
        raise ClusterUnreachable(",".join(self.urls), f"no leader within {START_S:g} s: see {self.folder}/*/server.log")

    def _check_running(self, wanted: int) -> None:
        ended = [name for name, process in self._processes.items() if process.poll() is not None]
        if len(self._processes) - len(ended) >= wanted or not ended:
            return
        said = self._last_words(ended[0])
        if "address already in use" in said:
            raise _PortTaken(ended[0])
        raise InvalidSetting("nats-server", ended[0], f"has ended: {said}")

    def _last_words(self, name: str) -> str:
        try:
            lines = (self.folder / name / "server.log").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "it has not logged anything"
        serious = [line for line in lines if "[FTL]" in line or "[ERR]" in line]
        return (serious or lines or ["it has not logged anything"])[-1]

    def _send(self, name: str, number: signal.Signals) -> None:
        self._processes[name].send_signal(number)

    def _make_plan(self) -> Plan:
        ports = _free_ports(2 * len(NAMES))
        servers = (Server(name, next(ports), next(ports)) for name in NAMES)
        return Plan(tuple(servers), secrets.token_urlsafe(24))

    def _key(self, name: str) -> Nkey:
        path = self.credentials(name)
        if path.exists():
            return Nkey.from_seed(path.read_text().strip())
        key = Nkey.make()
        _write(path, f"{key.seed}\n".encode())
        return key

    def _settings(self, server: Server, keys: Mapping[str, Nkey]) -> str:
        """Return the settings of a server; `sylvite cluster check` finds nothing to say about them."""
        login = f"sylvite:{self._plan.route_password}"
        routes = [f'"nats://{login}@{HOST}:{other.route_port}"' for other in self.servers if other != server]
        users = "\n".join(f"      {_user(keys[name], allowed)}" for name, allowed in self._masters.items())
        folder = self.folder / server.name
        return f"""\
server_name: {server.name}
listen: "{HOST}:{server.port}"
log_file: {_quoted(str(folder / "server.log"))}
log_size_limit: 8MB
max_payload: 8MB
jetstream {{
  store_dir: {_quoted(str(folder / "jetstream"))}
  sync_interval: always
  max_memory_store: 64MB
  max_file_store: 16GB
}}
accounts {{
  SYLVITE {{
    jetstream: enabled
    users: [
{users}
    ]
  }}
  SYSTEM {{ users: [ {{ nkey: {keys[SYSTEM].public} }} ] }}
}}
system_account: SYSTEM
cluster {{
  name: sylvite-dev
  listen: "{HOST}:{server.route_port}"
  no_advertise: true
  authorization {{ user: sylvite, password: "{self._plan.route_password}", timeout: 2 }}
  routes: [ {", ".join(routes)} ]
}}
"""


def _user(key: Nkey, allowed: Allowed) -> str:
    def listed(subjects: Iterable[str]) -> str:
        return f"[{', '.join(map(_quoted, subjects))}]"

    return (
        f"{{ nkey: {key.public}, permissions: "
        f"{{ publish: {listed(allowed.publish)}, subscribe: {listed(allowed.subscribe)} }} }}"
    )


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def find_program() -> str:
    """Return the path of nats-server: the one of our environment, else that of the PATH.

    Raises:
        InvalidSetting: there is none.
    """
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("nats-server")
    if found is None:
        raise InvalidSetting(
            "cluster", "nats-server", "is not installed; install sylvite with its extra: sylvite[cluster-dev]"
        )
    return found


def _free_ports(count: int) -> Iterator[int]:
    found: list[int] = []
    for port in _random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            break
    return iter(found)


def _write(path: Path, content: bytes) -> None:
    """Write a file whole, with nobody else reading it."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)


def _die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
