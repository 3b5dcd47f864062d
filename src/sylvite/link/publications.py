"""Publications: which events count as jobs for the minions of this master, and for how long one is for those that are away.  Pure.

Jobs of other masters of the cluster come through the bridge, with the name of that master behind their sender.  When they came, the
stamp of this log says; when they were published, only they themselves.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sylvite.core.event import Event
from sylvite.eventlog.origins import split_sender
from sylvite.link.recent_jobs import RECENT_S

OF_MINION = "minion:"


def master_of(event: Event) -> str:
    """Return the other master that an event of a job has come from; empty: it is of this one."""
    return split_sender(event.sender)[1] if "@" in event.sender else ""


def counts(event: Event) -> bool:
    """Say whether an event may be one of a job: whatever a minion has got onto a bus is none, on any master."""
    return not event.sender.startswith(OF_MINION)


def left_s(event: Event, *, is_live: bool, now_ns: int, wait_s: float) -> float:
    """Return for how long a publication is for minions that are not there; 0 or less: it goes down to nobody any more.

    `is_live`: this link was there when it was published, and its minions had come back to it.  `wait_s`: for so long somebody may wait for a job.
    """
    if not master_of(event):
        return RECENT_S if is_live else wait_s - abs(now_ns - event.stamp_ns) / 1e9
    # By the clock of that master: one that is ahead of ours makes no job old.
    left = wait_s - max(now_ns - _published_ns(event), 0) / 1e9
    return min(left, RECENT_S) if is_live else left


def _published_ns(event: Event) -> int:
    """Return when a job was published, as it says itself; where it does not, when it came here."""
    try:
        moment = datetime.fromisoformat(str(event.data.get("_stamp")))
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1e9)
    except (ValueError, OverflowError):
        return event.stamp_ns
