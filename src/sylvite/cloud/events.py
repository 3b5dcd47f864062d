"""The events of a machine: tags, texts and data as salt-cloud has them.

`salt/cloud/<name>/<step>`; `event` says the step in words.  A machine is named with `name`, never with `id`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from sylvite.cloud.secret import Redactor
from sylvite.cloud.settings import EventFilter

Publish = Callable[[str, dict[str, Any]], object]
"""Puts an event on the bus; raises SylviteError where it cannot."""

TEXTS: Mapping[str, str] = {
    "creating": "starting create",
    "requesting": "requesting instance",
    "querying": "querying instance",
    "query_reactor": "instance queried",
    "tagging": "setting tags",
    "waiting_for_ssh": "waiting for ssh",
    "ssh_ready_reactor": "ssh is available",
    "deploying": "executing deploy script",
    "created": "created instance",
    "failed": "create failed",
    "destroying": "destroying instance",
    "destroyed": "destroyed instance",
    "destroy_failed": "destroy failed",
    "starting": "starting instance",
    "started": "started instance",
    "stopping": "stopping instance",
    "stopped": "stopped instance",
    "rebooting": "rebooting instance",
    "action_failed": "action failed",
    "cache_node_new": "new node found",
    "cache_node_missing": "cached node missing from provider",
    "cache_node_diff": "node data differs",
}
DESCRIBED: Mapping[str, tuple[str, ...]] = {
    "creating": ("name", "profile", "provider", "driver"),
    "created": ("name", "profile", "provider", "driver", "instance_id"),
}
"""Steps whose fields `filter_events` chooses among all that is known of the machine, and their fields without it."""


class Announcer:
    """Says what happens to one machine."""

    def __init__(self, name: str, publish: Publish, filters: Mapping[str, EventFilter], redactor: Redactor) -> None:
        self._name, self._publish, self._filters, self._redactor = name, publish, filters, redactor

    def say(self, step: str, text: str | None = None, /, **fields: Any) -> None:
        """Publish the event of a step; of `kwargs` what `filter_events` chooses.  Raises SylviteError: it is not on the bus."""
        if isinstance(options := fields.get("kwargs"), dict):
            usual = cast("dict[str, Any]", options)
            fields["kwargs"] = chosen(self._filters.get(step), tuple(usual), usual)
        said = {"event": text if text is not None else TEXTS[step]}
        # Before and behind: it is the first thing to read, and no field of a profile takes its place.
        self._publish(f"salt/cloud/{self._name}/{step}", said | self._redactor.data(fields) | said)

    def describe(self, step: str, facts: Mapping[str, Any]) -> None:
        """As `say`, with those facts of the machine that this step tells."""
        self.say(step, **chosen(self._filters.get(step), DESCRIBED[step], facts))


def chosen(wanted: EventFilter | None, usual: tuple[str, ...], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that an event tells: the usual ones and those of `filter_events`, each where there is one."""
    keys = usual if wanted is None else (*(usual if wanted.use_defaults else ()), *wanted.keys)
    return {key: facts[key] for key in dict.fromkeys(keys) if facts.get(key) is not None}
