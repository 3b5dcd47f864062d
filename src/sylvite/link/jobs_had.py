"""JobsHad: which jobs a minion has had: its master sends those of the last moments again whenever it comes in.  Pure."""

from __future__ import annotations

from sylvite.link.recent_jobs import KEPT_MAX

REMEMBERED_MAX = 4 * KEPT_MAX
"""More than a master sends again, and what has come of others and since."""


class JobsHad:
    def __init__(self, *, remembered_max: int = REMEMBERED_MAX) -> None:
        self._tags: dict[str, None] = {}
        self._remembered_max = remembered_max

    def is_new(self, tag: str) -> bool:
        """A job has come: say whether it has not come before."""
        if tag in self._tags:
            return False
        self._tags[tag] = None
        if len(self._tags) > self._remembered_max:
            del self._tags[next(iter(self._tags))]
        return True
