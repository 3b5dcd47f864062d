"""What must be true: the log as it should be, what was promised of it, and the check of all that is answered and read.

Invariants I1 to I5 of the reliability scorecard. Words: *lost* was promised and is not there; *phantom* was never
published; *revived* was refused and is there; *duplicate* is there, or is handed out, twice; *reordered* comes after a
later event of its source; *hole* is a place that no gap explains; *conflict* is a place at which two say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from sylvite.client.ticket import Published
from sylvite.core.batch import Batch
from sylvite.core.event import Event, Gap
from sylvite.eventlog.history import History
from sylvite.eventlog.recovery import find_segments
from sylvite.testing.storage import MemoryStorage
from tests.simulation.world import Violation, World

Key = tuple[int, int]
"""Source epoch and seq: what an event is known by."""
Place = tuple[int, int]
"""Epoch of the log and offset."""
Wants = Callable[[str], bool]
READ_BYTES = 1 << 20


class Known(msgspec.Struct, frozen=True):
    """An event in the log."""

    epoch: int
    key: Key
    tag: str
    is_own: bool
    """The broker's."""


class Truth:
    """Shared by all.  Everything raises Violation where an invariant does not hold.

    `log`: by offset, what is in the log, with what retention has taken; `end` is the next offset.
    """

    def __init__(self, world: World) -> None:
        self.log: dict[int, Known] = {}
        self.end = 0
        self.oldest = self.oldest_ever = 0
        self.disk_hid_events = False
        """The disk has refused to give a segment, or may: so a reader may be told of damage where there is none later."""
        self._world = world
        self._said: dict[Key, str] = {}
        self._refused: set[Key] = set()
        self._out_of_order: set[Key] = set()
        self._ever: dict[Place, Known] = {}
        self._offsets: dict[Key, int] = {}
        self._highest: dict[int, int] = {}
        self._cut_away: set[Place] = set()
        self._sure_end = 0

    # -- What publishers say and hear --------------------------------------------------------------------------------

    def said(self, source: int, seq: int, tags: Sequence[str]) -> None:
        """A block is about to be published, for the first time."""
        for number, tag in enumerate(tags):
            self._said[source, seq + number] = tag

    def may_come_late(self, source: int, seq: int, count: int) -> None:
        """These events may be written behind later ones of their source: they were not written in their turn."""
        self._out_of_order.update((source, each) for each in range(seq, seq + count))

    def acknowledged(self, source: int, seq: int, count: int, answer: Published, *, synced: bool) -> None:
        for number in range(count):
            place, key = (answer.epoch, answer.offset + number), (source, seq + number)
            known = self._ever.get(place)
            if known is None:
                raise Violation("lost", f"{key} is answered to be at {place}, where nothing ever was")
            if known.key != key:
                raise Violation("conflict", f"{key} is answered to be at {place}, where {known.key} is")
            self._check_kept(place, synced=synced)
        if synced:
            self._sure_end = max(self._sure_end, answer.offset + count)

    def refused(self, source: int, seq: int, count: int) -> None:
        for key in ((source, each) for each in range(seq, seq + count)):
            self._refused.add(key)
            if key in self._offsets:
                raise Violation("revived", f"{key} is refused, and is at @{self._offsets[key]}")

    def _check_kept(self, place: Place, *, synced: bool) -> None:
        if self.has(place) or (not synced and place in self._cut_away):
            return
        raise Violation(
            "lost", f"{place} is promised{' to be synced' if synced else ''}, and is not in the log any more"
        )

    # -- What readers get --------------------------------------------------------------------------------------------

    def has(self, place: Place) -> bool:
        """Say whether this event is in the log of now, or was and retention has taken it."""
        known = self.log.get(place[1])
        return known is not None and known.epoch == place[0]

    def check_event(self, event: Event, *, synced: bool) -> None:
        place, key = (event.epoch, int(event.offset)), (event.origin.source_epoch, event.source_seq)
        known = self._ever.get(place)
        if known is None or key != known.key or event.tag != known.tag:
            raise Violation("phantom", f"{event.tag} {key} is read at {place}, where {known} is")
        if not known.is_own and event.data.get("n") != event.source_seq:
            raise Violation("phantom", f"the data at {place} are not its own")
        if synced:
            self._check_kept(place, synced=True)
            self._sure_end = max(self._sure_end, event.offset + 1)

    def check_skipped(self, first: int, until: int, wants: Wants) -> None:
        """A reader was told of nothing between two offsets of the log as it is now."""
        for offset in range(first, until):
            known = self.log.get(offset)
            if known is None or wants(known.tag):
                raise Violation("hole", f"@{offset} ({known}) is skipped without a word")

    def check_gap(self, gap: Gap, before: Place | None) -> None:
        """`before`: the event that the reader has seen last."""
        match gap.reason:
            case "retention" if gap.next <= self.oldest_ever:
                return
            case "reset" if before is not None and not self.has(before):
                return
            case "damage" if self.disk_hid_events:
                return
            case _:
                raise Violation("hole", f"{gap}, and the log has that; the reader was at {before}")

    # -- What the broker does ----------------------------------------------------------------------------------------

    def appended(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            if batch.base != self.end:
                raise Violation("hole", f"@{batch.base} is written where @{self.end} is due")
            self._adopt(batch)

    def not_appended(self, source: int, seq: int, count: int) -> None:
        """The disk did not take it: later events of this source may be taken before it is said again."""
        self.may_come_late(source, seq, count)

    def dropped_below(self, oldest: int) -> None:
        self.oldest = oldest
        self.oldest_ever = max(self.oldest_ever, oldest)

    def _adopt(self, batch: Batch) -> None:
        for row, number in enumerate(batch.numbers):
            key = (batch.source_epoch, batch.source_seq + row)
            self._add(batch.base + row, Known(batch.epoch, key, batch.tags[number], batch.sender == "broker"))
        self.end = batch.next

    def _add(self, offset: int, known: Known) -> None:
        key = known.key
        if not known.is_own:
            if self._said.get(key) != known.tag:
                raise Violation("phantom", f"{known.tag} {key} at @{offset} was never said")
            if key in self._refused:
                raise Violation("revived", f"{key} was refused, and is at @{offset}")
        before = self._offsets.get(key)
        if before is not None and before >= self.oldest:
            raise Violation("duplicate", f"{key} is at @{before} and at @{offset}")
        if before is not None:
            # Where all that is known of a publisher went with retention, a power cut may take the memory of it.
            self._world.happened["stored again after retention"] += 1
            self._out_of_order.add(key)
        highest = self._highest.get(key[0], -1)
        if key[1] < highest and key not in self._out_of_order:
            raise Violation("reordered", f"{key} is at @{offset}, behind seq {highest}")
        self.log[offset] = self._ever[known.epoch, offset] = known
        self._offsets[key] = offset
        self._highest[key[0]] = max(highest, key[1])

    # -- What is there after a restart -------------------------------------------------------------------------------

    def recovered(self, storage: MemoryStorage, log_id: str, end: int, *, power_was_cut: bool) -> None:
        """Read the whole log, by other means than the broker's, and compare it with what has to be there."""
        segments = [found.segment for found in find_segments(storage, log_id)]
        history = History(storage, log_id, segments, end)
        if self.log and history.oldest > self.oldest:
            raise Violation("lost", f"the log begins at @{history.oldest}, and retention had come to @{self.oldest}")
        needed = self._sure_end if power_was_cut else self.end
        if end < needed:
            raise Violation("lost", f"the log ends at @{end}, and everything below @{needed} was sure")
        if power_was_cut:
            self._cut_to(end)
        self.oldest = history.oldest
        reader = history.reader(self.oldest)
        while reader.next < end:
            for item in reader.read(READ_BYTES, end):
                if isinstance(item, Gap):
                    raise Violation("lost", f"after a restart: {item}")
                if item.next <= self.end:
                    self._compare(item)
                else:
                    # Written as the process died, before anybody could be told.
                    self._adopt(item)
        if self.end != end:
            raise Violation("lost", f"the log ends at @{end}, and holds events up to @{self.end}")

    def _cut_to(self, end: int) -> None:
        for offset in range(end, self.end):
            known = self.log.pop(offset)
            self._cut_away.add((known.epoch, offset))
            del self._offsets[known.key]
        self.end = min(self.end, end)
        self._highest.clear()
        for known in self.log.values():
            self._highest[known.key[0]] = max(self._highest.get(known.key[0], -1), known.key[1])

    def _compare(self, batch: Batch) -> None:
        for row, number in enumerate(batch.numbers):
            known = self.log[batch.base + row]
            key = (batch.source_epoch, batch.source_seq + row)
            if (known.epoch, known.key, known.tag) != (batch.epoch, key, batch.tags[number]):
                raise Violation("conflict", f"@{batch.base + row} is {key} after the restart, and was {known}")
