"""The ledger of a fault test: what was sent, what was answered, what was read; and what is wrong with it.

Words: *lost* was acknowledged and is not read; *phantom* is read and was never sent; *duplicate* is read twice;
*reordered* is read after a later event of its source; *hole* is an offset that nothing explains; *conflict* is an offset
at which two readers, or a reader and an answer, saw different events; *revived* was refused and is read.
"""

from __future__ import annotations

from collections import Counter

from sylvite.core.event import Event, Gap

COUNTERS = ("lost", "phantom", "duplicate", "reordered", "hole", "conflict", "revived")


class Source:
    """One publisher, by its source epoch: seqs below `sent` were given to the client."""

    def __init__(self) -> None:
        self.sent = 0
        self.acknowledged: set[int] = set()
        self.refused: set[int] = set()


class Ledger:
    """Shared by publishers and readers.  Each Source has one writer; the rest are atomic steps of dict and Counter."""

    def __init__(self) -> None:
        self.sources: dict[int, Source] = {}
        self.places: dict[int, tuple[int, int]] = {}
        """Offset to source epoch and seq, as first seen."""
        self.wrong: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))
        self.first_wrong = ""

    def source(self, epoch: int) -> Source:
        return self.sources.setdefault(epoch, Source())

    def blame(self, what: str, detail: str, count: int = 1) -> None:
        self.wrong[what] += count
        self.first_wrong = self.first_wrong or f"{what}: {detail}"

    def place(self, offset: int, epoch: int, seq: int) -> None:
        """This event is at that offset, as a reader or an answer says."""
        known = self.places.setdefault(offset, (epoch, seq))
        if known != (epoch, seq):
            self.blame("conflict", f"@{offset} is {known} and {(epoch, seq)}")

    def reading(self, start: int = 0) -> Reading:
        return Reading(self, start)

    @property
    def counters(self) -> dict[str, int]:
        return {name: self.wrong[name] for name in COUNTERS}


class Reading:
    """What one reader got, from offset `next` on."""

    def __init__(self, ledger: Ledger, start: int) -> None:
        self.next = start
        self.gaps: list[Gap] = []
        self.events = 0
        self._ledger = ledger
        self._seen: dict[int, set[int]] = {}
        self._highest: dict[int, int] = {}
        # Behind a gap, or where reading began in the middle, a source may stand anywhere: seqs it skipped there are
        # explained.  A source is in `_settled` from its first event behind the latest such place on.
        self._explained: dict[int, list[range]] = {}
        self._settled: set[int] = set()
        self._began_inside = start > 0

    def skip_to(self, offset: int) -> None:
        """Reading begins there: what is before it is not looked for."""
        self.next = offset
        self._began_inside = offset > 0

    def gap(self, gap: Gap) -> None:
        """Offsets that the broker says are not there; only retention explains them."""
        self.gaps.append(gap)
        if gap.reason != "retention":
            self._ledger.blame("hole", str(gap))
        if gap.first != self.next:
            self._ledger.blame("hole", f"{gap} where @{self.next} was due")
        self.next = gap.next
        self._began_inside = True
        self._settled.clear()

    def take(self, event: Event) -> None:
        ledger, offset, epoch, seq = self._ledger, event.offset, event.origin.source_epoch, event.source_seq
        self.events += 1
        if offset != self.next:
            ledger.blame("hole" if offset > self.next else "duplicate", f"@{offset} where @{self.next} was due")
        self.next = offset + 1
        ledger.place(offset, epoch, seq)
        if event.sender == "broker":
            return
        source = ledger.sources.get(epoch)
        if source is None or seq >= source.sent or event.data.get("n") != seq:
            ledger.blame("phantom", f"@{offset}: {seq} of {epoch:x}")
            return
        seen = self._seen.setdefault(epoch, set())
        highest = self._highest.get(epoch, -1)
        if seq in seen:
            ledger.blame("duplicate", f"@{offset}: {seq} of {epoch:x} again")
        elif seq < highest:
            ledger.blame("reordered", f"@{offset}: {seq} of {epoch:x} after {highest}")
        if epoch not in self._settled:
            self._settled.add(epoch)
            if self._began_inside:
                self._explained.setdefault(epoch, []).append(range(highest + 1, seq))
        seen.add(seq)
        self._highest[epoch] = max(highest, seq)

    def has_read(self, epoch: int, seq: int) -> bool:
        return seq in self._seen.get(epoch, ())

    def finish(self) -> None:
        """All there is was read: what was acknowledged and did not come is lost, what was refused and came is revived."""
        ledger = self._ledger
        for epoch, source in ledger.sources.items():
            seen = self._seen.get(epoch, set())
            highest = self._highest.get(epoch, -1)
            explained = self._explained.get(epoch, [])
            lost = [
                seq
                for seq in source.acknowledged - seen
                if not any(seq in some for some in explained)
                and not (self._began_inside and epoch not in self._settled and seq > highest)
            ]
            if lost:
                ledger.blame("lost", f"{len(lost)} of {epoch:x}, the first {min(lost)}", len(lost))
            if revived := source.refused & seen:
                ledger.blame("revived", f"{len(revived)} of {epoch:x}, the first {min(revived)}", len(revived))
