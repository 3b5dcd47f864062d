"""A job, and a store that has returns put into it, for tests."""

from __future__ import annotations

from typing import Any

from sylvite.jobs.jid import JidMaker
from sylvite.jobs.store import NANOSECONDS, JobStore
from sylvite.jobs.values import Arrival, Job, Return

NOW_NS = 1_795_474_050_771_814_000
JID = "20261123224730771814"
OTHER = "20261123224730771815"


def job(jid: str = JID, *minions: str, **more: Any) -> Job:
    return Job(jid, "test.ping", (), "*", "glob", "root", minions or ("web1", "web2"), **more)


def take(store: JobStore, minion: str, value: Any = True, jid: str = JID, now_ns: int = NOW_NS) -> Arrival:
    (taken,) = store.take([Return(jid, minion, value)], now_ns)
    return taken.arrival


def fill(store: JobStore, count: int, **more: Any) -> list[str]:
    maker = JidMaker()
    jids = [maker.make(NOW_NS) for _ in range(count)]
    for number, jid in enumerate(jids):
        store.add(job(jid, "web1", **more), NOW_NS + number * NANOSECONDS)
    return jids
