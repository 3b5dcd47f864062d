"""Minions: what each master lets the others know of its own: who is here, and their grains.  Pure.

part      item      value
minions   its id    MessagePack: connected_since_ns, left_ns, address, reason
minions   nothing   empty: what is there is so; written behind the others when a bridge begins, and now and then
grains    its id    eight bytes: when they came (ns since 1970), big-endian; then the grains, packed

What a master says that is not heard of any more, or has said goodbye, does not count: nobody is with it, as far as is known.  Nor does
it when it is back, before it has said that it is so: what is there may be of before.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Annotated, NamedTuple

import msgspec

from sylvite.auth.keyring_values import InvalidMinionId, check_id
from sylvite.cluster.shared import Entry
from sylvite.core.event import unpack_data
from sylvite.errors import InvalidData
from sylvite.jobs.known_minions import as_left
from sylvite.jobs.minions import GRAINS_BYTES_MAX, MinionRecord
from sylvite.jobs.others import Grains, Key

PRESENCE, GRAINS = "minions", "grains"
SO_IT_IS = ""
"""In the place of an id."""
SILENT_S = 15.0
ASLEEP_S = 5.0
"""Who has not looked for so long has heard nobody, and not because of them."""
LOST = "its master, {}, is silent"
LEFT = "its master, {}, was stopped"
_STAMP_BYTES = 8
logger = logging.getLogger("sylvite.cluster")


_Moment = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Text = Annotated[str, msgspec.Meta(max_length=1024)]


class _Shown(msgspec.Struct, frozen=True, array_like=True):
    connected_since_ns: _Moment | None
    left_ns: _Moment | None
    address: _Text
    reason: _Text


def encode_record(record: MinionRecord) -> bytes:
    shown = _Shown(record.connected_since_ns, record.left_ns, record.address[:1024], record.reason[:1024])
    return msgspec.msgpack.encode(shown)


def decode_record(entry: Entry) -> MinionRecord | None:
    """Return what an entry says; None where it cannot be read."""
    try:
        check_id(entry.item)
        shown = msgspec.msgpack.decode(entry.value or b"", type=_Shown)
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidMinionId) as error:
        logger.warning("what %s says of the minion %s is left out: %s", entry.node, ascii(entry.item[:80]), error)
        return None
    return MinionRecord(
        entry.item, None, shown.connected_since_ns, shown.left_ns, shown.address, shown.reason, entry.node
    )


def encode_grains(grains: Grains) -> bytes:
    return grains.at_ns.to_bytes(_STAMP_BYTES, "big") + grains.packed


def are_grains(entry: Entry) -> bool:
    """Say whether an entry holds grains of its minion: whoever wants some is to be able to read all."""
    packed = (entry.value or b"")[_STAMP_BYTES:]
    try:
        is_it = len(packed) <= GRAINS_BYTES_MAX and unpack_data(packed).get("id") == entry.item
    except InvalidData:
        is_it = False
    if not is_it:
        logger.warning("the grains of %s are left out that %s has: they are none", ascii(entry.item[:80]), entry.node)
    return is_it


def grains_at_ns(value: bytes) -> int:
    return int.from_bytes(value[:_STAMP_BYTES], "big", signed=True)


class Changes(NamedTuple):
    """What is to be written; as OthersStore.write takes it."""

    records: list[MinionRecord]
    grains: list[tuple[Key, Grains]]
    gone: list[Key]


class Ours:
    """What the bucket has of this master, beside what it is to have."""

    def __init__(self) -> None:
        self.version = 0
        """Another one whenever we have heard something of the bucket."""
        self.forgotten = 0
        """How often: what was put before that may be in a bucket that is there no more."""
        self._presence: dict[str, bytes] = {}
        self._grains: dict[str, int] = {}

    def forget(self, part: str) -> None:
        """The bucket may be another one."""
        self.forgotten += 1
        self.version += 1
        (self._presence if part == PRESENCE else self._grains).clear()

    def take(self, part: str, item: str, value: bytes | None) -> None:
        """The bucket has this of ours."""
        self.version += 1
        there = self._presence if part == PRESENCE else self._grains
        if value is None:
            there.pop(item, None)
        elif part == PRESENCE:
            self._presence[item] = value
        else:
            self._grains[item] = grains_at_ns(value)

    def differing(self, records: Iterable[MinionRecord]) -> list[MinionRecord]:
        """Return whose record is not there as it is."""
        return [record for record in records if self._presence.get(record.id) != encode_record(record)]

    def without_grains(self, records: Iterable[MinionRecord]) -> list[str]:
        """Return whose latest grains are not there."""
        return [
            each.id for each in records if each.grains_ns is not None and self._grains.get(each.id) != each.grains_ns
        ]

    def superfluous(self, records: Iterable[MinionRecord]) -> list[tuple[str, str]]:
        """Return part and item of what is there of minions that are not known any more."""
        known = {record.id for record in records}
        return [
            (part, item)
            for part, there in ((PRESENCE, self._presence), (GRAINS, self._grains))
            for item in there.keys() - known
        ]


class Others:
    """What the others say, and whether they are here.  `now_s`: of a clock that only goes forward.

    `before`: what was written when this last ran.  `version`: another one whenever `records` are others.
    """

    def __init__(self, node: str, before: Iterable[MinionRecord], now_s: float) -> None:
        self.version = 0
        self._node = node
        self._why_not: dict[str, str | None] = {}
        """Why what a master says does not count; None: it does."""
        self._here: set[str] = set()
        self._counted: tuple[int, list[MinionRecord]] = (-1, [])
        self._written = -1
        """The version that was written last."""
        self._records = {(record.master, record.id): record for record in before}
        self._shown = dict(self._records)
        """As they were written last."""
        self._grains = {key: each.grains_ns for key, each in self._records.items() if each.grains_ns is not None}
        self._new_grains: dict[Key, bytes] = {}
        self._gone: set[Key] = set()
        self._heard_s: dict[str, float] = {}
        self._left: set[str] = set()
        self._of_before: dict[str, str] = {}
        """Masters that were not here, and why, and have not said since what is so."""
        self._here_before: list[str] = []
        """Masters that were here when we were last connected."""
        self._begun_s = self._looked_s = now_s

    def take(self, part: str, entry: Entry) -> None:
        """A master says something of a minion."""
        if entry.node == self._node:
            return
        key = entry.node, entry.item
        if part == PRESENCE and entry.item == SO_IT_IS:
            self._of_before.pop(entry.node, None)
        elif part == PRESENCE:
            record = None if entry.value is None else decode_record(entry)
            if record is not None:
                self._records[key] = record
                self.version += 1
            elif self._records.pop(key, None) is not None:
                self._gone.add(key)
                self.version += 1
        elif entry.value is None:
            self._grains.pop(key, None)
        elif self._grains.get(key) != grains_at_ns(entry.value) and are_grains(entry):
            self._new_grains[key] = entry.value

    def keep_only(self, said: set[Key]) -> None:
        """These are all that something is said of: forget the rest."""
        for key in self._records.keys() - said:
            del self._records[key]
            self._gone.add(key)
            self.version += 1

    def hear(self, node: str, now_s: float, *, leaving: bool = False) -> None:
        """A master has spoken."""
        if node == self._node:
            return
        self._heard_s[node] = now_s
        (self._left.add if leaving else self._left.discard)(node)

    def parted(self) -> None:
        """Nobody can be heard for a while."""
        self._here_before = self.masters()

    def connected(self, now_s: float) -> None:
        """Who was here before has to be given the time to say so."""
        self._heard_s |= dict.fromkeys(self._here_before, now_s)

    def look(self, now_s: float) -> None:
        """Time passes.  Call it every second or so: who is here is as it was by then."""
        asleep_s = now_s - self._looked_s
        self._looked_s = now_s
        if asleep_s > ASLEEP_S:
            self._begun_s += asleep_s
            self._heard_s = {node: heard_s + asleep_s for node, heard_s in self._heard_s.items()}
        nodes = self._heard_s.keys() | {node for node, _ in self._records}
        away = {node: self._why_not_here(node) for node in nodes}
        self._here = {node for node, why_not in away.items() if why_not is None}
        self._of_before |= {node: why_not for node, why_not in away.items() if why_not is not None}
        why_not = {node: self._of_before.get(node) for node in nodes}
        if why_not != self._why_not:
            self._why_not = why_not
            self.version += 1

    def masters(self) -> list[str]:
        """Return who is here; sorted."""
        return sorted(self._here & self._heard_s.keys())

    def has_left(self, node: str) -> bool:
        """Say whether a master has said goodbye: it may be back in a moment, and its minions with it."""
        return node in self._left

    def records(self, now_ns: int) -> list[MinionRecord]:
        """Return what counts of what they say."""
        if self._counted[0] != self.version:
            counted = [
                record if (why_not := self._why_not.get(record.master)) is None else as_left(record, why_not, now_ns)
                for record in self._records.values()
            ]
            self._counted = self.version, counted
        return self._counted[1]

    def take_changes(self, now_ns: int) -> Changes:
        """Return what is to be written since the last time."""
        if self._written == self.version and not self._new_grains:
            return Changes([], [], [])
        self._written = self.version
        changed = [each for each in self.records(now_ns) if _differs(each, self._shown.get((each.master, each.id)))]
        self._shown |= {(each.master, each.id): each for each in changed}
        gone = [key for key in self._gone if key not in self._records]
        for key in gone:
            self._shown.pop(key, None)
            self._grains.pop(key, None)
        # Before who has them is known, they are for nobody.
        ready = {key: value for key, value in self._new_grains.items() if key in self._records}
        self._grains |= {key: grains_at_ns(value) for key, value in ready.items()}
        self._new_grains = {key: value for key, value in self._new_grains.items() if key not in ready}
        self._gone.clear()
        grains = [(key, Grains(grains_at_ns(value), value[_STAMP_BYTES:])) for key, value in ready.items()]
        return Changes(changed, grains, gone)

    def _why_not_here(self, node: str) -> str | None:
        if node in self._left:
            return LEFT.format(node)
        is_silent = self._looked_s - self._heard_s.get(node, self._begun_s) > SILENT_S
        return LOST.format(node) if is_silent else None


def _differs(record: MinionRecord, former: MinionRecord | None) -> bool:
    if former is None or record.is_present or former.is_present:
        return record != former
    # Of one that is not here because its master is not, the moment moves on with each look.
    return (record.connected_since_ns, record.reason) != (former.connected_since_ns, former.reason)
