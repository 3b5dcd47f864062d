"""A minion without a master, as a process, to which jobs are given on its own bus; and functions that do what they should not."""

from __future__ import annotations

import itertools
import os
import select
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sylvite import Client, Event
from sylvite.client.sync_subscription import Subscription
from tests.daemons.nodes import Daemon, Site

WITHIN_S = 60.0
RETURN = "__schedule_return"
UP = "fire_master"

BAD = """
import ctypes, logging, os, resource, signal, subprocess, sys, time

logger = logging.getLogger("bad")

def hang(mark=None):
    if mark: open(mark, "w").write(str(os.getpid()))
    while True: time.sleep(3600)

def deaf(mark):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang(mark)

def exits(code):
    os._exit(code)

def segfault():
    ctypes.string_at(0)

def forks():
    return "child" if os.fork() == 0 else "parent"

def daemon(mark):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            open(mark, "w").write(str(os.getpid()))
            time.sleep(600)
        os._exit(0)
    while not os.path.exists(mark) or not open(mark).read(): time.sleep(0.01)
    return "done"

def starts(mark):
    program = subprocess.Popen(["sleep", "600"], start_new_session=True)
    hang_with(mark, program.pid)

def hang_with(mark, pid):
    open(mark + ".new", "w").write(str(pid))
    os.rename(mark + ".new", mark)
    while True: time.sleep(3600)

def closes():
    os.closerange(0, 4096)
    return "nobody hears this"

def closes_and_hangs():
    os.closerange(0, 4096)
    hang()

def garbage():
    for number in range(3, 64):
        try: os.write(number, b"\\xff" * 100)
        except OSError: pass
    return "?"

def big(size):
    return "x" * size

def many(count):
    return [[] for _ in range(count)]

def strange():
    return {"a": object}

def deep(levels):
    found = []
    for _ in range(levels): found = [found]
    return found

def surrogate():
    return "\\udcff"

def prints(size):
    print("x" * size)
    sys.stderr.write("y" * size)
    os.write(1, b"z" * size)
    return "done"

def logs(count):
    for number in range(count): logger.warning("line %d", number)
    return "done"

def endless(size=1):
    while True: yield "x" * size

def yields_big(size):
    yield "x" * size

def eats():
    resource.setrlimit(resource.RLIMIT_AS, (512 * 1024 * 1024,) * 2)
    kept = []
    while True: kept.append(bytearray(16 * 1024 * 1024))

def interrupt():
    raise KeyboardInterrupt

def leaves():
    raise SystemExit(3)

def changes(given):
    given["added"] = 1
    return True

def number():
    __context__["retcode"] = 7
    return "seven"

def named(): return "shown"
__outputter__ = {"named": "txt"}

def files():
    listed = os.listdir("/proc/self/fd")
    links = [f"/proc/self/fd/{name}" for name in listed]
    # The one that it was listed through is gone.
    return sorted(os.readlink(link).partition(":")[0] for link in links if os.path.islink(link))

def where(): return [os.getsid(0) == os.getpid(), open("/proc/self/oom_score_adj").read().strip(), os.read(0, 1) == b""]
"""


class JobSite(Site):
    """`minion_bus` of the site is where jobs are published."""

    def __init__(self, folder: Path, id_: str = "alpha") -> None:
        super().__init__(folder, id_)
        self.modules = folder / "modules"
        self.modules.mkdir(mode=0o755)
        self.write_module("bad", BAD)

    def write_module(self, name: str, content: str) -> None:
        path = self.modules / f"{name}.py"
        path.write_text(content)
        path.chmod(0o644)

    @contextmanager
    def running(self, **options: str) -> Generator[Jobs]:
        self.configure_minion(master_type="disable", module_dirs=f"[{self.modules}]", **options)
        with self.minion() as daemon, Client.connect(self.minion_bus) as bus, bus.subscribe() as events:
            yield Jobs(self, daemon, bus, events)


class Jobs:
    """`seen`: what was on the bus so far, in order."""

    def __init__(self, site: JobSite, daemon: Daemon, bus: Client, events: Subscription) -> None:
        self.site, self.daemon, self.seen = site, daemon, list[Event]()
        self._bus, self._events = bus, events
        self._numbers = itertools.count(1)

    def publish(self, fun: Any, *arg: Any, **more: Any) -> str:
        """Publish a job for this minion, and return its jid."""
        jid = more.get("jid") or f"2026112322473{next(self._numbers):07d}"
        job: dict[str, Any] = {
            "fun": fun, "arg": list(arg), "tgt": self.site.id, "jid": jid, "ret": "", "tgt_type": "glob", "user": "root",
        }  # fmt: skip
        self._bus.publish(f"salt/job/{jid}/publish", {**job, **more}, timeout_s=WITHIN_S)
        return jid

    def fire(self, tag: str, data: dict[str, Any]) -> None:
        self._bus.publish(tag, data, timeout_s=WITHIN_S)

    def wait(self, wanted: Callable[[Event], bool], what: str) -> Event:
        """Return the first event that is wanted, of those that were seen or come."""
        for event in self.seen:
            if wanted(event):
                return event
        deadline = time.monotonic() + WITHIN_S
        while (left_s := deadline - time.monotonic()) > 0:
            event = self._events.next(timeout_s=left_s)
            if event is not None:
                self.seen.append(event)
                if wanted(event):
                    return event
        raise AssertionError(f"no {what} within {WITHIN_S:g} s; the minion says: {self.daemon.log.read_text()[-4000:]}")

    def returned(self, jid: str) -> dict[str, Any]:
        """Wait for the return of a job."""
        event = self.wait(lambda event: event.tag == RETURN and event.data["jid"] == jid, f"return of {jid}")
        return event.data

    def run(self, fun: Any, *arg: Any, **more: Any) -> dict[str, Any]:
        return self.returned(self.publish(fun, *arg, **more))

    def value(self, fun: str, *arg: Any) -> Any:
        found = self.run(fun, *arg)
        assert found["success"] is True, found
        return found["return"]

    def tags_of(self, jid: str) -> list[str]:
        """Return what was seen of a job, in order: its own tags, and those of what went up."""
        tags = [event.data["tag"] if event.tag == UP else event.tag for event in self.seen]
        belongs = [
            jid in tag or (event.tag == RETURN and event.data["jid"] == jid)
            for tag, event in zip(tags, self.seen, strict=True)
        ]
        return [tag for tag, is_ours in zip(tags, belongs, strict=True) if is_ours]

    def wait_for_file(self, path: Path) -> int:
        """Return the number that a function writes to a file, once it is there."""
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            if path.exists() and (text := path.read_text()):
                return int(text)
            if (event := self._events.next(timeout_s=0.02)) is not None:
                self.seen.append(event)
        raise AssertionError(f"{path} was not written")

    @property
    def nursery(self) -> int:
        found = nurseries_of(self.daemon.pid)
        assert len(found) == 1, found
        return found[0]

    def nursery_when_ready(self) -> int:
        self.value("test.ping")
        return self.nursery


def nurseries_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"sylvite.functions.nursery" in _command(child)]


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def wait_gone(pid: int) -> None:
    """Wait until a process has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([descriptor], [], [], WITHIN_S)
    finally:
        os.close(descriptor)
    assert ended, f"process {pid} goes on"
