"""Who serves the streams: a master of ours with its interface, and Salt's master with its `salt-api`."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.environments import interpreter
from bench.jobs import WITHIN_S, daemon, free_ports, master, part_of, salt_folder, until
from bench.processes import cpu_s, family, memory_bytes
from sylvite.api.scopes import parse_scope
from sylvite.api.tokens import TokenStore

TAG = "bench/sse"
OF_ONE_TOKEN = 16
"""Streams that one token may have at our interface: clients share tokens accordingly."""
SECRET = "only-for-this-measurement"
FIRING = """
import json, sys, time
{opening}
print("ready", flush=True)
for line in sys.stdin:
    count, rate = json.loads(line)
    times = []
    for number in range(count):
        if rate and number:
            time.sleep(max(times[0] + number / rate - time.monotonic(), 0))
        times.append(time.monotonic())
        publish({{"id": "web1", "fun": "state.apply", "retcode": 0, "return": "x" * 100, "n": number}}, "bench/sse")
    flush()
    print(json.dumps(times), flush=True)
"""
"""Reads how many events, and at which rate (0: as fast as it can); fires them; says when each was."""
OURS = """
from sylvite import Client
client = Client.connect(sys.argv[1])
publisher = client.publisher()
def publish(data, tag):
    publisher.publish(tag, data)
    if rate:
        publisher.flush()
flush = publisher.flush
"""
SALTS = """
import salt.config, salt.utils.event
opts = salt.config.client_config(sys.argv[1])
bus = salt.utils.event.get_event("master", sock_dir=opts["sock_dir"], opts=opts, listen=False)
publish = bus.fire_event
flush = lambda: None
"""


class Firing:
    """A program that fires on a bus when told."""

    def __init__(self, python: Path | str, opening: str, place: Path) -> None:
        program = FIRING.format(opening=opening)
        self._process = subprocess.Popen(
            [python, "-W", "ignore", "-c", program, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read()

    def begin(self, count: int, rate: float = 0.0) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([count, rate]) + "\n")
        self._process.stdin.flush()

    def times(self) -> list[float]:
        """Return when each event was fired, once all are."""
        found: list[float] = json.loads(self._read())
        return found

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the program that fires has ended")
        return line

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


class Uses(NamedTuple):
    """What processes have used until now: processor time of the interface and of the bus, memory of the interface."""

    api_s: float
    bus_s: float
    api_bytes: int


class Server(NamedTuple):
    """`api`, `bus`: their processes, now.  `request`: of the client with a number."""

    port: int
    api: Callable[[], set[int]]
    bus: Callable[[], set[int]]
    request: Callable[[int], bytes]
    mark: bytes
    firing: Firing

    def uses(self) -> Uses:
        api, bus = self.api(), self.bus()
        return Uses(sum(map(cpu_s, api)), sum(map(cpu_s, bus)), sum(map(memory_bytes, api)))


def _request(path: str, header: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n{header}\r\n\r\n".encode()


@contextlib.contextmanager
def ours(clients: int) -> Generator[tuple[Server, Server]]:
    """Our interface: Salt's `/events`, and `/v1/events/stream`."""
    (port,) = free_ports(1)
    rest = f"{{host: 127.0.0.1, port: {port}, disable_ssl: true}}"
    with (
        tempfile.TemporaryDirectory(prefix="sylvite-bench-") as name,
        master(Path(name), more={"rest_cherrypy": rest}) as (found, _),
    ):
        until(lambda: _answers(port), "the interface does not answer")
        with TokenStore(found.data) as store:
            scopes = [parse_scope("events:read:**")]
            made = [
                store.make("bench", scopes, time.time_ns(), life_s=3600.0, backend="local")[1].reveal()
                for _ in range(clients // OF_ONE_TOKEN + 1)
            ]
        api = part_of(found.pid, "api")
        firing = Firing(found.python, OURS, found.bus)

        def server(path: str, header: str, mark: bytes) -> Server:
            def request(number: int) -> bytes:
                return _request(path, header + made[number // OF_ONE_TOKEN])

            return Server(port, lambda: family(api), lambda: family(found.pid) - family(api), request, mark, firing)

        try:
            yield (
                server("/events", "X-Auth-Token: ", f"tag: {TAG}\n".encode()),
                server("/v1/events/stream", "Authorization: Bearer ", f'"tag":"{TAG}"'.encode()),
            )
        finally:
            firing.end()


@contextlib.contextmanager
def salts(threads: int | None = None) -> Generator[Server]:
    """Salt's master and its `salt-api`.  `threads`: another `thread_pool` than it has by itself.  Raises NotInstalled."""
    python = interpreter("salt")
    with tempfile.TemporaryDirectory(prefix="salt-bench-") as name, contextlib.ExitStack() as stack:
        folder, (publish, ret, port) = Path(name), free_ports(3)
        pool = "" if threads is None else f", thread_pool: {threads}"
        own = salt_folder(folder, "master", {
            "interface": "127.0.0.1", "publish_port": publish, "ret_port": ret, "sharedsecret": SECRET,
            "api_logfile": folder / "api.log", "api_pidfile": folder / "api.pid",
            "external_auth": "{sharedsecret: {bench: ['.*', '@events']}}",
            "rest_cherrypy": f"{{host: 127.0.0.1, port: {port}, disable_ssl: true{pool}}}",
        })  # fmt: skip
        bus, api = (
            stack.enter_context(daemon(folder, str(python.parent / program), "-c", str(own), ready=False))
            for program in ("salt-master", "salt-api")
        )
        token = _salt_token(port)
        firing = Firing(python, SALTS, own / "master")
        stack.callback(firing.end)
        mark = f"tag: {TAG}\n".encode()

        def request(number: int) -> bytes:
            del number
            return _request("/events", f"X-Auth-Token: {token}")

        yield Server(port, lambda: family(api.pid), lambda: family(bus.pid), request, mark, firing)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False


def _salt_token(port: int) -> str:
    """Log in, as soon as that is possible; return the token.  Raises TimeoutError."""
    said = {"username": "bench", "sharedsecret": SECRET, "password": SECRET, "eauth": "sharedsecret"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/login", json.dumps(said).encode(),
        {"Content-Type": "application/json", "Accept": "application/json"},
    )  # fmt: skip
    found: list[str] = []

    def logged_in() -> bool:
        try:
            with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
                body: Mapping[str, Sequence[Any]] = json.load(answer)
        except (OSError, urllib.error.URLError):
            return False
        found.append(str(body["return"][0]["token"]))
        return True

    until(logged_in, "nobody can log in to salt-api")
    return found[0]
