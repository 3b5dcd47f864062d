"""Known tags: those with a meaning between the parts of a node, as Salt names them (spec/salt-events.md 3.8)."""

from __future__ import annotations

OUTBOX = "fire_master"
"""On the bus of a minion: an event that goes up to its master."""
RETURN = "__schedule_return"
"""On the bus of a minion: the return of a job, which goes up too."""
BEACONS = "__beacons_return"
"""On the bus of a minion: a list of what its beacons have seen, which goes up as the events that are in it."""
