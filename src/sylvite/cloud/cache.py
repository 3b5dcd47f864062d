"""What has changed among the machines of a provider since they were seen last, as events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sylvite.cloud.events import Announcer
from sylvite.cloud.ledger import Ledger
from sylvite.cloud.machine import Machine, tag_part


def compare(ledger: Ledger, provider: str, machines: Sequence[Machine], announcer: Callable[[str], Announcer]) -> int:
    """Say what is new, missing or different, and remember what is there.  Return the number of events.

    The memory moves on only when all of them are on the bus: after an error the next call says them again.

    Raises:
        SylviteError: as the announcer.
    """
    before = ledger.seen(provider)
    said = 0
    for machine in machines:
        facts, cached = machine.facts(), before.pop(machine.id, None)
        told = announcer(tag_part(machine.name, machine.id))
        if cached is None:
            told.say("cache_node_new", new_data=facts)
        elif cached != facts:
            told.say("cache_node_diff", new_data=facts, cache_data=cached)
        else:
            continue
        said += 1
    for identity, cached in before.items():
        name = str(cached.get("name", ""))
        announcer(tag_part(name, identity)).say("cache_node_missing", **{"missing node": name})
        said += 1
    ledger.saw(provider, machines)
    return said
