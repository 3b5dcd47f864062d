"""Context: all that a function sees of the process that runs it.  The seam between functions and whoever calls them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from sylvite.core.event import Event


class Bus(Protocol):
    """How a function fires and sees events.  A double stands in tests; `LocalBus` is the real one."""

    socket: str | None
    """Where it is; None: where clients look."""

    def fire(self, tag: str, data: dict[str, Any]) -> None:
        """Put an event onto the bus of this node, and return when it is safe there.

        The data gets a `_stamp`, as Salt's does: the caller's own map is changed.

        Raises:
            SylviteError: it is not there, or nobody knows.
        """
        ...

    def fire_master(self, tag: str, data: Any, preload: Mapping[str, Any] | None) -> None:
        """Hand an event over that goes up to the master, and return when it cannot be lost any more.

        `preload`: more keys for the envelope around `data`; None: it is as the minion itself sends it, with a `pretag`.

        Raises:
            SylviteError: as `fire`.
        """
        ...

    def publish(self, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Put events onto the bus of this node as they are, in order, and return when all are synced.

        Raises:
            SylviteError: as `fire`; some of them may be there.
        """
        ...

    def watch(
        self, tagmatch: str, *, node: str, sock_dir: str | None
    ) -> AbstractContextManager[Iterator[Event]]:  # fmt: skip
        """Return the events that come from now on, among them all whose tag fits Salt's `tagmatch`."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """`opts`, `grains`, `pillar`: what functions find under `__opts__` and so on.

    `publication`: of the job, without `__pub_` before its keys: what a function with `**kwargs` is given besides.
    """

    opts: dict[str, Any]
    grains: dict[str, Any]
    bus: Bus
    pillar: dict[str, Any] = field(default_factory=dict[str, Any])
    publication: Mapping[str, Any] = field(default_factory=dict[str, Any])
