"""Which events are jobs for the minions of this master, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from sylvite import Event
from sylvite.core.event import Offset, Origin
from sylvite.link.publications import counts, left_s, master_of
from sylvite.link.recent_jobs import RECENT_S

WAIT_S = 15.0
AT_NS = 1_796_000_000 * 10**9
STAMP = "2026-11-30T00:53:20.000000"
"""The same moment, as Salt stamps events."""


def event(sender: str, data: dict[str, Any] | None = None, stamp_ns: int = AT_NS) -> Event:
    return Event("salt/job/20261130005320000000/publish", data or {}, Offset(1), Origin(1, stamp_ns, sender, 1))


def left(published: Event, now_s: float, *, is_live: bool = True) -> float:
    return left_s(published, is_live=is_live, now_ns=AT_NS + int(now_s * 1e9), wait_s=WAIT_S)


@pytest.mark.parametrize(
    ("sender", "is_one", "master"),
    [
        ("uid:0", True, ""),
        ("uid:0@mars", True, "mars"),
        ("minion:web1", False, ""),
        ("minion:web1@mars", False, "mars"),
    ],
)
def test_what_a_minion_has_got_onto_a_bus_is_no_job(sender: str, is_one: bool, master: str) -> None:
    assert (counts(event(sender)), master_of(event(sender))) == (is_one, master)


def test_a_job_of_this_master_waits_for_a_moment_or_as_long_as_somebody_waits_for_it() -> None:
    assert left(event("uid:0"), 60.0) == RECENT_S
    assert left(event("uid:0"), 10.0, is_live=False) == 5.0
    assert left(event("uid:0"), 60.0, is_live=False) < 0


def test_a_job_of_another_master_is_as_old_as_it_says() -> None:
    """However late the bridge brings it: what nobody waits for goes down to nobody."""
    late = event("uid:0@mars", {"_stamp": STAMP}, stamp_ns=AT_NS + 60 * 10**9)
    assert left(late, 60.0) < 0
    assert left(late, 12.0) == pytest.approx(3.0)
    assert left(late, 1.0) == RECENT_S
    assert left(late, -60.0) == RECENT_S


@pytest.mark.parametrize("stamp", [None, 7, "yesterday", "0001-01-01T00:00:00"])
def test_one_that_does_not_say_when_is_as_old_as_the_event(stamp: object) -> None:
    assert left(event("uid:0@mars", {"_stamp": stamp}), 1.0) <= RECENT_S
