"""JidEvent: what a runner finds as `__jid_event__`, to tell of its own run while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sylvite.functions.context import Bus

Shown = Callable[[str, dict[str, Any]], None]


class JidEvent:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._base: str | None = None
        self._shown: Shown | None = None

    def begin(self, base: str | None, shown: Shown | None = None) -> None:
        """From now on, events are those of the run `base`; None: there is no run.  `shown` sees each of them too."""
        self._base, self._shown = base, shown

    def fire_event(self, data: dict[str, Any], tag: str) -> None:
        """Fire `salt/run/<jid>/<tag>`; outside of a run nothing."""
        if self._base is None:
            return
        self._bus.fire(f"{self._base}/{tag}", data)
        if self._shown is not None:
            self._shown(tag, data)
