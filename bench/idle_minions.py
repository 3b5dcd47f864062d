"""Minions that only idle: what a session costs the link, and how long all take to come back after the link was killed."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bench import minions
from bench.budgets import Row
from bench.jobs import WITHIN_S, master, part_of, until
from bench.processes import Line, Worker, cpu_s, memory_bytes
from sylvite.auth.keys import KeyPair
from sylvite.jobs.local_client import LocalClient

SESSIONS = 10_000
SESSION_KIB_MAX = 64
SPARE_DESCRIPTORS = 500
"""Beside those of the sessions: of either process."""
REST_S = 20.0
"""How long they are left alone while the link's processor time is taken."""


class Idle(NamedTuple):
    """`in_s`: until all were in; `cpu`: of the link while they idle, as a part of one core; `back_s`: from the kill on."""

    sessions: int
    session_bytes: float
    in_s: float
    cpu: float
    ping_s: float
    back_s: float

    def rows(self) -> list[Row]:
        words, kib = f"{self.sessions:,} idle sessions at one link".replace(",", " "), self.session_bytes / 1024
        return [
            Row(f"{words}: memory of the link, each", f"{kib:.0f} KiB", "", "", f"{SESSION_KIB_MAX} KiB", kib <= SESSION_KIB_MAX),
            Row(f"{words}: all in, and each answers a `test.ping` to all", f"{self.ping_s:.1f} s", f"let in within {self.in_s:.0f} s",
                "", "10 000 sessions" if self.sessions >= SESSIONS else "", True if self.sessions >= SESSIONS else None),
            Row(f"{words}: processor time of the link, while they idle", f"{self.cpu:.1%} of a core", "", "", "", None),
            Row(f"{words}: all are back, after SIGKILL of the link", f"{self.back_s:.0f} s",
                f"{self.sessions / self.back_s:,.0f} handshakes a second, both ends on this machine", "", "", None),
        ]  # fmt: skip


class TooFewDescriptors(Exception):
    """This machine does not let one process have so many."""


def _hold(line: Line, pairs: Mapping[str, KeyPair], port: int) -> None:
    asyncio.run(_hold_all(line, pairs, port))


async def _hold_all(line: Line, pairs: Mapping[str, KeyPair], port: int) -> None:
    """Be these minions, and say so each time that all are in; all come again when all have lost their master."""
    while True:
        found = await minions.connected(pairs, port)
        line()
        staying = asyncio.create_task(minions.stay(found))
        await asyncio.gather(*(minion.is_gone.wait() for minion in found))
        staying.cancel()


def measure(count: int, rest_s: float = REST_S) -> Idle:
    """Raises TooFewDescriptors."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most < count + SPARE_DESCRIPTORS:
        raise TooFewDescriptors(
            f"{count} sessions need {count + SPARE_DESCRIPTORS} descriptors, and `ulimit -n` says {most}"
        )
    with tempfile.TemporaryDirectory(prefix="sylvite-bench-") as folder, master(Path(folder)) as (found, link):
        pairs = minions.let_in(found.data / "keys", count)
        before, begun = memory_bytes(link), time.monotonic()
        with Worker(_hold, pairs, found.port) as holding:
            holding.ready(WITHIN_S)
            found.wait_for(count)
            in_s = time.monotonic() - begun
            cpu = cpu_s(link)
            time.sleep(rest_s)
            cpu, session = (cpu_s(link) - cpu) / rest_s, (memory_bytes(link) - before) / count
            begun = time.monotonic()
            with LocalClient.connect(found.place) as local:
                answers = local.cmd("*", "test.ping", timeout_s=WITHIN_S)
            if list(answers.values()) != [True] * count:
                raise RuntimeError("not all minions have answered")
            ping_s = time.monotonic() - begun
            begun = time.monotonic()
            os.kill(link, signal.SIGKILL)
            holding.ready(WITHIN_S)
            back_s = time.monotonic() - begun
            until(lambda: part_of(found.pid, "link") != link, "there is no new link")
    return Idle(count, session, in_s, cpu, ping_s, back_s)
