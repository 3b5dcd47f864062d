"""Jobs: how long `test.ping` takes, there and back, from one call of a LocalClient to its last return.

    python -m bench.jobs [--quick] [--minions 1,100,1000] [--without-salt]

A master with all its parts, over TLS to minions on the same machine: simulated ones, many in one process, that answer
at once (bench/minions.py); and one real one, which runs the function in a process of its own.  Beside it a real Salt
master with a real Salt minion, from the environment of the comparison.  Clients are connected before.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench import minions
from bench.environments import NotInstalled, interpreter
from bench.minions import count_parser
from bench.processes import Worker, memory_bytes, percentile
from bench.sections import run_alone, section
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_public
from sylvite.jobs.client_core import MasterPlace
from sylvite.jobs.local_client import LocalClient
from sylvite.jobs.minions import read_minions

COUNTS = (1, 100, 1000)
ABOUT = (
    "`test.ping`, from one call of a LocalClient to its last return, over TLS and with all parts of a master on the same machine. Simulated "
    "minions are sessions of the link in one process, which answer at once; a real one runs the function in a process of its own."
)
WITHIN_S = 300.0
WARM_UP = 3
RUNS = {1: 100, 100: 30, 1000: 10}
QUICK_RUNS = 3
QUICK_MOST = 100
STOP_S = 30.0
SALT_CLIENT = """
import json, sys, time
import salt.client, salt.exceptions
until = time.monotonic() + float(sys.argv[3])
while True:
    try:
        local = salt.client.LocalClient(sys.argv[1])
        if local.cmd("*", "test.ping", timeout=5) == {"salty": True}:
            break
    except (salt.exceptions.SaltException, OSError, SystemExit):
        pass  # The master or its key is not there yet.
    assert time.monotonic() < until, "the minion does not come"
    time.sleep(0.5)
times = []
for _ in range(int(sys.argv[2])):
    begun = time.perf_counter()
    assert local.cmd("*", "test.ping", timeout=30) == {"salty": True}
    times.append(time.perf_counter() - begun)
print(json.dumps(times))
"""


class Figure(NamedTuple):
    """What was measured: the seconds of each run."""

    words: str
    times: Sequence[float]

    def row(self) -> str:
        p50, p99 = (percentile(self.times, part) * 1e3 for part in (0.5, 0.99))
        least, most = min(self.times) * 1e3, max(self.times) * 1e3
        return f"| {self.words} | {p50:.1f} ms | {p99:.1f} ms | {least:.1f} to {most:.1f} ms | {len(self.times)} |"


# -- Processes -------------------------------------------------------------------------------------------------------


@contextmanager
def daemon(folder: Path, *command: str, ready: bool = True) -> Generator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block.  `ready`: it takes `--ready-fd`, and is waited for."""
    reading, writing = os.pipe()
    words = [*command, "--ready-fd", str(writing)] if ready else [*command]
    with open(folder / "log", "ab") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(writing,))
    os.close(writing)
    try:
        if ready and not (select.select([reading], [], [], WITHIN_S)[0] and os.read(reading, 64)):
            raise RuntimeError(f"{command[-1]} has not started:\n{(folder / 'log').read_text()}")
        yield process
    finally:
        os.close(reading)
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody has; a moment later somebody may."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def until(holds: Callable[[], bool], what: str) -> None:
    """Raises TimeoutError: it does not come to hold."""
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)


def write_config(file: Path, options: Mapping[str, object]) -> None:
    file.write_text("".join(f"{name}: {value}\n" for name, value in options.items()))


# -- Ours ------------------------------------------------------------------------------------------------------------


class Master:
    """A master below a folder.  `port`: where minions connect; `pid`: of its process, once it runs; `python`: which runs it."""

    pid = 0

    def __init__(
        self, folder: Path, python: str | Path = sys.executable, more: Mapping[str, object] | None = None
    ) -> None:
        self.folder, (self.port,), self.python = folder, free_ports(1), str(python)
        self.data, self.file = folder / "m" / "data", folder / "master"
        options = {**self.places("m"), "id": "master", "interface": "127.0.0.1", "ret_port": self.port}
        write_config(self.file, {**options, **(more or {})})
        self.bus = folder / "m" / "run" / "bus.sock"
        self.place = MasterPlace(socket=self.bus, data_dir=self.data)

    def places(self, below: str) -> dict[str, object]:
        at = self.folder / below
        return {"data_dir": at / "data", "sock_dir": at / "run", "pki_dir": at / "pki", "cachedir": at / "cache"}

    def wait_for(self, count: int) -> None:
        """Wait until so many minions are here, as the master knows it."""
        with read_minions(self.data / "minions.db") as reader:
            until(lambda: len(reader.present()) == count, "not all minions are here")


@contextmanager
def master(
    folder: Path, python: str | Path = sys.executable, more: Mapping[str, object] | None = None
) -> Generator[tuple[Master, int]]:
    """A master that runs, and the process of its link.  `more`: options of its file."""
    found = Master(folder, python, more)
    with daemon(folder, found.python, "-m", "sylvite", "master", "--config", str(found.file)) as process:
        found.pid = process.pid
        yield found, part_of(process.pid, "link")


def part_of(pid: int, name: str) -> int:
    """Return the process of a part of a master, such as its link.  Raises RuntimeError: it has none."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if name.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
            return int(child)
    raise RuntimeError(f"the master has no {name}")


def pings(place: MasterPlace, count: int, runs: int) -> list[float]:
    """Return how long each call of `test.ping` took, until so many minions had answered."""
    times: list[float] = []
    with LocalClient.connect(place) as local:
        for number in range(WARM_UP + runs):
            begun = time.perf_counter()
            answers = local.cmd("*", "test.ping", timeout_s=WITHIN_S)
            took = time.perf_counter() - begun
            if list(answers.values()) != [True] * count:
                raise RuntimeError("not all minions have answered")
            if number >= WARM_UP:
                times.append(took)
    return times


def simulated(count: int, runs: int) -> tuple[Figure, float]:
    """Return the figure for so many simulated minions, and what a session that idles costs the link, in bytes."""
    with tempfile.TemporaryDirectory(prefix="sylvite-bench-") as folder, master(Path(folder)) as (found, link):
        pairs = minions.let_in(found.data / "keys", count)
        before = memory_bytes(link)
        with Worker(minions.run, pairs, found.port) as worker:
            worker.ready(WITHIN_S)
            found.wait_for(count)
            each = (memory_bytes(link) - before) / count
            return Figure(
                f"{count:,} simulated minion{'s' if count > 1 else ''}", pings(found.place, count, runs)
            ), each


@contextmanager
def real_minion(found: Master) -> Generator[Path]:
    """A minion that runs, as this master knows it; returns the socket of its bus."""
    folder = found.folder
    with KeyFolder(found.data / "keys") as keys:
        finger = load_public(keys, "master").fingerprint
    file = folder / "minion"
    write_config(file, {
        **found.places("n"), "id": "alpha", "master": f"127.0.0.1:{found.port}", "master_finger": f'"{finger}"',
        "acceptance_wait_time": 1,
    })  # fmt: skip
    with daemon(folder, found.python, "-m", "sylvite", "minion", "--config", str(file)):
        with KeyFolder(folder / "n" / "pki") as keys:
            fingerprint = load_public(keys, "minion").fingerprint
        with Keyring.open(found.data / "keys") as keyring:
            keyring.expect("alpha", fingerprint, time.time_ns())
        found.wait_for(1)
        yield folder / "n" / "run" / "bus.sock"


def real(runs: int) -> Figure:
    """Return the figure for a real minion, which runs the function in a process of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="sylvite-bench-") as name,
        master(Path(name)) as (found, _),
        real_minion(found),
    ):
        return Figure("1 real minion", pings(found.place, 1, runs))


# -- Salt ------------------------------------------------------------------------------------------------------------


@contextmanager
def salt_nodes() -> Generator[tuple[Path, Path, Path]]:
    """A real Salt master and minion; return Salt's interpreter and the two configurations, each alone in its folder.  Raises NotInstalled."""
    python = interpreter("salt")
    with tempfile.TemporaryDirectory(prefix="salt-bench-") as name, ExitStack() as stack:
        folder, (publish, ret) = Path(name), free_ports(2)
        ports = {"publish_port": publish, "master_port": ret}
        for node, more in (
            ("master", {"interface": "127.0.0.1", "publish_port": publish, "ret_port": ret, "auto_accept": True}),
            ("minion", {"id": "salty", "master": "127.0.0.1", **ports}),
        ):
            program, own = str(python.parent / f"salt-{node}"), salt_folder(folder, node, more)
            stack.enter_context(daemon(folder, program, "-c", str(own), ready=False))
        yield python, folder / "master" / "master", folder / "minion" / "minion"


def salt_folder(folder: Path, node: str, more: Mapping[str, object]) -> Path:
    """Make the folder of one of Salt's daemons, with its configuration; return it."""
    own = folder / node
    own.mkdir()
    write_config(own / node, {
        "root_dir": own, "sock_dir": own / "s", "pki_dir": own / "pki", "cachedir": own / "cache",
        "log_file": own / "log", "pidfile": own / "pid", "log_level": "error", **more,
    })  # fmt: skip
    return own


def ask_salt(python: Path, program: str, *arguments: str) -> Any:
    """Run a program in Salt's environment; return the JSON in its last line.  Raises NotInstalled: it has failed."""
    done = subprocess.run(
        [str(python), "-W", "ignore", "-c", program, *arguments],
        capture_output=True, text=True, timeout=3 * WITHIN_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise NotInstalled(f"Salt's minion was not reached: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def salt(runs: int) -> Figure:
    """Return the figure for a real Salt master and minion.  Raises NotInstalled."""
    with salt_nodes() as (python, master_file, _):
        times = ask_salt(python, SALT_CLIENT, str(master_file), str(runs), str(WITHIN_S))
        return Figure("1 real Salt minion, Salt's master", times)


# -- All of it -------------------------------------------------------------------------------------------------------


def measure(counts: Sequence[int], *, quick: bool, with_salt: bool) -> str:
    """Return the figures as a table."""
    figures: list[Figure] = []
    notes: list[str] = []

    def note(figure: Figure) -> None:
        figures.append(figure)
        print(figure.row(), file=sys.stderr, flush=True)

    for count in counts:
        figure, each = simulated(count, QUICK_RUNS if quick else RUNS.get(count, 10))
        note(figure)
        if count >= 100:
            notes.append(f"Each of {count:,} idle sessions costs the link {each / 1024:.0f} KiB of memory.")
    note(real(QUICK_RUNS if quick else RUNS[1]))
    if with_salt:
        try:
            note(salt(QUICK_RUNS if quick else RUNS[1]))
        except NotInstalled as error:
            notes.append(f"Salt could not be measured: {error}")
    head = ["| `test.ping` to | p50 | p99 | least to most | runs |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(figure.row() for figure in figures), "", *notes])


def main() -> int:
    def part(given: argparse.Namespace) -> str:
        counts = [count for count in given.minions if count <= QUICK_MOST] if given.quick else given.minions
        return section("Jobs", ABOUT, measure(counts, quick=given.quick, with_salt=not given.without_salt))

    return run_alone(count_parser("bench.jobs", __doc__ or "", COUNTS), part)


if __name__ == "__main__":
    sys.exit(main())
