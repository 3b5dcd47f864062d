"""What fires through the event objects of Salt: below one tag, from states, and the arguments of a job."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Self

from sylvite.compat.event import MinionEvent, SaltEvent, get_master_event
from sylvite.compat.matching import tagify
from sylvite.errors import SylviteError

log = logging.getLogger("salt.utils.event")


def fire_args(opts: Mapping[str, Any], jid: str, tag_data: MutableMapping[str, Any], prefix: str = "") -> None:
    """Fire `tag_data` as the arguments of a job, `PREFIX/JID/args`; where that fails, it is only logged."""
    tag = tagify([jid, "args"], prefix)
    try:
        with get_master_event(opts, opts["sock_dir"], listen=False) as event:
            event.fire_event(tag_data, tag)
    except Exception as error:  # noqa: BLE001 - as Salt: the job goes on without it
        log.warning("%s was not fired: %s", tag, error)


class NamespacedEvent:
    """Fires below one tag.  `print_func` gets the short tag and the data of each event."""

    def __init__(self, event: SaltEvent, base: str, print_func: Callable[[str, Any], Any] | None = None) -> None:
        self.event, self.base, self.print_func = event, base, print_func

    def fire_event(self, data: MutableMapping[str, Any], tag: str) -> None:
        self.event.fire_event(data, tagify(tag, base=self.base))
        if self.print_func is not None:
            self.print_func(tag, data)

    def destroy(self) -> None:
        self.event.destroy()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.destroy()


class StateFire:
    """Sends what states do up to the master, by the bus of this minion."""

    def __init__(self, opts: Mapping[str, Any], auth: object = None) -> None:
        del auth  # The minion is the one that is let in by the master.
        self.opts = opts

    def fire_master(self, data: Any, tag: str, preload: Mapping[str, Any] | None = None) -> bool:
        """Always True, as in Salt; what goes wrong is logged."""
        return self._send({**(preload or {}), "tag": tag, "data": data, "events": None, "pretag": None})

    def fire_running(self, running: Mapping[str, Mapping[str, Any]]) -> bool:
        """Send an event for each state that has changed something, or failed."""
        events: list[dict[str, Any]] = []
        for state in sorted(running, key=lambda name: running[name].get("__run_num__", 0)):
            result, changes = running[state]["result"], bool(running[state]["changes"])
            if not result or changes:
                events.append({"tag": f"state_{result}_{changes}", "data": {"ret": running[state], "state": state}})
        return self._send({"tag": None, "data": None, "events": events, "pretag": None})

    def _send(self, load: dict[str, Any]) -> bool:
        try:
            with MinionEvent(self.opts, listen=False) as bus:
                bus.fire_event(load, "fire_master")
        except (SylviteError, TypeError) as error:
            log.error("it was not sent to the master: %s", error)
        return True
