"""Group overview: how far each group of readers is, and who holds which part of it."""

from __future__ import annotations

import msgspec
from nats.js.errors import NotFoundError

from sylvite.cluster.carried import Forged, Place, decode
from sylvite.cluster.connection import Connection
from sylvite.cluster.leases import Leases
from sylvite.cluster.positions import Positions, part_name
from sylvite.cluster.stream import log_subject, stream_name


class PartState(msgspec.Struct, frozen=True):
    """`node`: whose log.  `holder`: the master whose member has it, empty for nobody.  `until`: what is below this offset, in this
    epoch, is done; None where nothing is yet.  `behind`: so much longer is that log in the stream; it has others' events, too."""

    node: str
    holder: str
    epoch: int | None
    until: int | None
    behind: int | None


class GroupState(msgspec.Struct, frozen=True):
    name: str
    parts: tuple[PartState, ...]


async def look_at_groups(connection: Connection) -> tuple[GroupState, ...]:
    """Return the groups that there are.  Raises ClusterError."""
    groups = await Positions(connection).groups()
    holders = {held.name: held.node for held in await Leases(connection).held()} if groups else {}
    ends: dict[str, Place | None] = {}
    found: list[GroupState] = []
    for name, entries in groups.items():
        parts: list[PartState] = []
        for node, entry in entries.items():
            if node not in ends:
                ends[node] = await _end_of(connection, node)
            place = entry.position.place
            holder = holders.get(part_name(name, node), "")
            epoch, until = (None, None) if place is None else place
            parts.append(PartState(node, holder, epoch, until, _behind(place, ends[node])))
        found.append(GroupState(name, tuple(parts)))
    return tuple(found)


def _behind(place: Place | None, end: Place | None) -> int | None:
    if end is None or (place is not None and end.until < place.until):
        return None  # That log is another one than it was.
    return end.until - (0 if place is None else place.until)


async def _end_of(connection: Connection, node: str) -> Place | None:
    """Return up to where the stream has the log of a master."""
    name = stream_name(connection.settings)
    with connection.asking(f"reading the stream {name}"):
        try:
            last = await connection.jetstream.get_last_msg(name, log_subject(connection.settings, node))
        except NotFoundError:
            return None
    try:
        return decode(node, last.data or b"").place
    except Forged:
        return None
