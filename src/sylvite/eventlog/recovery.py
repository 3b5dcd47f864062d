"""Recovery: open a log after whatever happened.  Spec: docs/log-format.md, "Recovery".

The question at the end of the last segment is whether bytes that are no batch are a *tear* (a write that nobody was
told of, cut short by a crash) or *damage* (something that was there, and is broken). A tear is copied aside and cut;
damage is left where it is, and readers get a gap. Every batch and every segment names the offset below which all was
synced when it was written: what is below the highest of these is proven, and never cut.
"""

from __future__ import annotations

from itertools import pairwise

import msgspec

from sylvite.core.batch import Batch, Passage
from sylvite.errors import LogDamaged, LogNotUnderstood
from sylvite.eventlog.history import Segment
from sylvite.eventlog.index import Index, Summary, durable_by_summaries, load_summary, save_summary
from sylvite.eventlog.segment import OFFSETS_MAX, START, Damage, SegmentHeader, base_of, decode_header, file_name, scan
from sylvite.eventlog.sources import Sources
from sylvite.eventlog.storage import File, Storage

QUARANTINE = "quarantine"
COPY_BYTES = 1024 * 1024


class Note(msgspec.Struct, frozen=True):
    """Something that recovery did or found: `kind` is `recovered` (a tear was cut) or `corrupt`; facts by name."""

    kind: str
    facts: dict[str, int | str]


class Recovered(msgspec.Struct):
    segments: list[Segment]
    end: int
    sources: Sources
    notes: list[Note]


class _Place(msgspec.Struct, frozen=True):
    """A batch and where it lies, without its bytes: a segment holds many."""

    position: int
    end: int
    base: int
    count: int
    sender: str
    source_epoch: int
    source_seq: int
    passage: Passage | None

    @property
    def next(self) -> int:
        return self.base + self.count


class _Seen(msgspec.Struct):
    """What a scan of a whole segment found."""

    index: Index
    batches: list[_Place]
    damages: list[Damage]
    end_position: int
    durable: int


class Found(msgspec.Struct):
    """A segment file.  `durable`: what its header says was synced; `born`: the header, or a batch, is whole."""

    segment: Segment
    durable: int
    born: bool
    header_is_whole: bool


def find_segments(storage: Storage, log_id: str) -> list[Found]:
    """Return the segments there are, oldest first.

    Raises:
        LogNotUnderstood: one belongs to another log, or is of a newer format.
    """
    found: list[Found] = []
    for base in sorted(base for name in storage.names() if (base := base_of(name)) is not None):
        name = file_name(base)
        file = storage.open(name)
        try:
            size = file.size()
            whole = decode_header(file.read_at(0, START), name)
            header = whole or _header_from_batches(file, base, log_id)
        finally:
            file.close()
        if header is None:
            nothing = SegmentHeader(bytes.fromhex(log_id), 0, base, 0, 0)
            found.append(Found(Segment(name, nothing, size), 0, born=False, header_is_whole=False))
            continue
        if header.log_id.hex() != log_id or header.base != base:
            raise LogNotUnderstood(
                f"{name} belongs to another log ({header.log_id.hex()}) or another place (@{header.base}). "
                "Move it out of the folder: nothing was changed"
            )
        found.append(Found(Segment(name, header, size), header.durable, born=True, header_is_whole=whole is not None))
    for file, following in pairwise(found):
        file.segment.next = following.segment.base
    if found:
        found[-1].segment.next = OFFSETS_MAX
    return found


def _header_from_batches(file: File, base: int, log_id: str) -> SegmentHeader | None:
    for found in scan(file, None, held=range(base, OFFSETS_MAX)):
        if not isinstance(found, Damage):
            batch = found.batch
            return SegmentHeader(bytes.fromhex(log_id), batch.epoch, base, batch.durable, batch.stamp_ns)
    return None


def recover(storage: Storage, log_id: str, *, proven: int, accept_loss: bool) -> Recovered:
    """Bring the log into a state from which it can go on; `proven` is the highest offset that any cursor has seen.

    Raises:
        LogDamaged: events that are proven to have been synced are not there, and `accept_loss` is not set.
        LogNotUnderstood: see `find_segments`.
    """
    notes: list[Note] = []
    files = find_segments(storage, log_id)
    durable = max([proven, durable_by_summaries(storage), *(file.durable for file in files)])
    window = _Window(storage, files, durable)
    segments = window.kept(notes)
    durable = window.durable
    for file in files:
        if not file.header_is_whole and file.segment in segments:
            facts: dict[str, int | str] = {
                "segment": file.segment.name,
                "position": 0,
                "detail": "its header is damaged",
            }
            notes.append(Note("corrupt", facts))
    empty: list[Segment] = []
    last_batches: list[_Place] = []
    end = 0
    while segments:
        last = segments[-1]
        seen = window.seen(last)
        end = _close_end(storage, last, seen, durable, notes)
        if any(place.count for place in seen.batches):
            last.index, last_batches = seen.index, seen.batches
            break
        # It has at most a sync mark: the next broker's first segment takes its name and its place.
        empty.append(segments.pop())
        end = last.base
    sources = _sources_of(storage, segments[:-1], from_start=not segments or segments[0].base == 0)
    for place in last_batches:
        sources.note(
            place.sender, place.source_epoch, place.source_seq, place.count, place.base, segments[-1].epoch, place.passage
        )  # fmt: skip
    if end < durable:
        if not accept_loss:
            raise LogDamaged(
                f"events @{end}..@{durable - 1} were synced and are not in the log any more. Restore the log from a copy, "
                "or start once with --accept-loss: readers then get a gap in their place"
            )
        notes.append(Note("corrupt", {"first": end, "next": durable, "detail": "lost, accepted by the operator"}))
        end = durable
    if any(note.kind == "corrupt" for note in notes):
        sources.complete = False  # What is damaged may have held a source, too.
    for segment in empty:
        if segment.base != end:
            storage.remove(segment.name)
    if segments:
        window.sync(segments[:-1])
        storage.sync_folder()
        last = segments[-1]
        index = last.index or Index()
        save_summary(
            storage, last.name, Summary(last.size, end, index.entries, sources.snapshot(), end, sources.complete)
        )
    return Recovered(segments, end, sources, notes)


class _Window:
    """The segments at the end of the log that hold offsets which no header proves: these are read whole."""

    def __init__(self, storage: Storage, files: list[Found], durable: int) -> None:
        self._storage = storage
        self._files = files
        self._seen: dict[str, _Seen] = {}
        self.durable = durable
        self._first = len(files) - 1
        while self._first > 0 and files[self._first].segment.base > durable:
            self._first -= 1
        for file in files[max(self._first, 0) :]:
            self.durable = max(self.durable, self.seen(file.segment).durable)

    def seen(self, segment: Segment) -> _Seen:
        if segment.name not in self._seen:
            self._seen[segment.name] = _read_whole(self._storage, segment)
        return self._seen[segment.name]

    def kept(self, notes: list[Note]) -> list[Segment]:
        """Return the segments up to the first hole that no proof speaks against; move those behind it aside.

        A machine that lost its power may have written later segments and not the end of an earlier one.  Nobody was
        told of either, and a prefix is worth more than a hole.
        """
        for at in range(max(self._first, 0), len(self._files)):
            file = self._files[at]
            if not file.born and file.segment.base >= self.durable:
                return self._cut_to(at, notes)
            is_last = at + 1 == len(self._files)
            if not is_last and self._ends_early(file.segment, self._files[at + 1].segment.base):
                return self._cut_to(at + 1, notes)
        return [file.segment for file in self._files]

    def sync(self, segments: list[Segment]) -> None:
        """Make these durable, as far as they may not be: what a dead broker wrote may be only in the kernel's memory."""
        for found in self._files[max(self._first, 0) :]:
            if found.segment in segments:
                file = self._storage.open(found.segment.name, write=True)
                try:
                    seen = self.seen(found.segment)
                    _write_again(file, _unproven_from(found.segment, seen, self.durable), found.segment.size)
                    file.sync()
                finally:
                    file.close()

    def _ends_early(self, segment: Segment, wanted: int) -> bool:
        seen = self.seen(segment)
        end, position = segment.base, START
        for place in seen.batches:
            if place.base > end:
                break
            end, position = max(end, place.next), place.end
        if not self.durable <= end < wanted:
            return False
        damage = next((damage for damage in seen.damages if damage.start >= position), None)
        return damage is None or damage.torn

    def _cut_to(self, count: int, notes: list[Note]) -> list[Segment]:
        for file in reversed(self._files[count:]):
            events = sum(place.count for place in self.seen(file.segment).batches)
            _move_aside(self._storage, file.segment.name)
            facts: dict[str, int | str] = {
                "segment": file.segment.name, "bytes": file.segment.size, "events": events,
                "kept_in": f"{QUARANTINE}/unproven-{file.segment.name}",
            }  # fmt: skip
            notes.append(Note("recovered", facts))
        return [file.segment for file in self._files[:count]]


def _read_whole(storage: Storage, segment: Segment) -> _Seen:
    file = storage.open(segment.name)
    try:
        header = decode_header(file.read_at(0, START), segment.name)
        seen = _Seen(Index(), [], [], START, header.durable if header else 0)
        for found in scan(file, segment.epoch, held=segment.held):
            if isinstance(found, Damage):
                seen.damages.append(found)
                continue
            batch, position = found.batch, found.position
            seen.end_position = position + len(batch.raw)
            seen.batches.append(_place(batch, position, seen.end_position))
            seen.index.note(batch, position)
            seen.durable = max(seen.durable, batch.durable)
        return seen
    finally:
        file.close()


def _place(batch: Batch, position: int, end: int) -> _Place:
    return _Place(
        position, end, batch.base, batch.count, batch.sender, batch.source_epoch, batch.source_seq, batch.passage
    )  # fmt: skip


def _close_end(storage: Storage, segment: Segment, seen: _Seen, durable: int, notes: list[Note]) -> int:
    """Cut the tear, if there is one, note the damage, and return the offset after the last event kept."""
    cut_at: Damage | None = None
    for damage in seen.damages:
        expected = _expected(segment, seen, damage.start)
        nothing_behind = damage.start >= seen.end_position
        # Batches behind a lost write go with it where none of them is proven: a prefix is worth more than a hole.
        if expected >= durable and (nothing_behind or damage.torn):
            cut_at = damage
            break
        following = next((place.base for place in seen.batches if place.position >= damage.end), None)
        facts: dict[str, int | str] = {"segment": segment.name, "position": damage.start, "first": expected}
        notes.append(Note("corrupt", facts | ({} if following is None else {"next": following})))
    if cut_at is not None:
        _cut(storage, segment, seen, cut_at.start, notes)
    else:
        damaged_to = max((damage.end for damage in seen.damages), default=0)
        segment.size = max(seen.end_position, damaged_to)
    file = storage.open(segment.name, write=True)
    try:
        if file.size() != segment.size:
            file.truncate(segment.size)
        # What survived the broker's death may still be only in the kernel's memory; from here on it counts as synced.
        _write_again(file, _unproven_from(segment, seen, durable), segment.size)
        file.sync()
    finally:
        file.close()
    end = seen.batches[-1].next if seen.batches else segment.base
    return max(end, segment.base)


def _unproven_from(segment: Segment, seen: _Seen, durable: int) -> int:
    """Return the position in a segment behind which nothing is proven to have been synced."""
    if segment.base >= durable:
        return 0
    return next((place.position for place in seen.batches if place.next > durable), segment.size)


def _write_again(file: File, position: int, end: int) -> None:
    """Write the same bytes to the same place.

    Where the disk refused a sync to the broker before, the kernel has counted the pages as clean, and goes on showing
    what the disk never got: then another sync returns at once, and proves nothing (fsync(2)).
    """
    while position < end and (content := file.read_at(position, min(COPY_BYTES, end - position))):
        file.write_at(position, [content])
        position += len(content)


def _expected(segment: Segment, seen: _Seen, position: int) -> int:
    before = [place.next for place in seen.batches if place.position < position]
    return before[-1] if before else segment.base


def _cut(storage: Storage, segment: Segment, seen: _Seen, position: int, notes: list[Note]) -> None:
    gone = [place for place in seen.batches if place.position >= position]
    seen.batches = [place for place in seen.batches if place.position < position]
    seen.index.forget_from(seen.batches[-1].next if seen.batches else segment.base)
    name = f"{QUARANTINE}/torn-{segment.base:020d}-{position}-{segment.epoch:016x}"
    source = storage.open(segment.name)
    try:
        bytes_cut = _copy(storage, source, position, name)
    finally:
        source.close()
    segment.size = position
    facts: dict[str, int | str] = {
        "segment": segment.name, "position": position, "bytes": bytes_cut, "kept_in": name,
        "events": sum(place.count for place in gone), "end": seen.batches[-1].next if seen.batches else segment.base,
    }  # fmt: skip
    notes.append(Note("recovered", facts))


def _copy(storage: Storage, source: File, position: int, name: str) -> int:
    """Copy a file from `position` on, without the zeros at its end; return how many bytes."""
    storage.make_folder(QUARANTINE)
    if name.removeprefix(QUARANTINE + "/") in storage.names(QUARANTINE):
        storage.remove(name)  # A recovery that was itself cut short left it.
    target = storage.open(name, create=True)
    written = kept = 0
    try:
        while content := source.read_at(position + written, COPY_BYTES):
            target.write_at(written, [content])
            if without_zeros := content.rstrip(b"\0"):
                kept = written + len(without_zeros)
            written += len(content)
        target.truncate(kept)
        target.sync()
    finally:
        target.close()
    storage.sync_folder(QUARANTINE)
    return kept


def _move_aside(storage: Storage, name: str) -> None:
    storage.make_folder(QUARANTINE)
    storage.rename(name, f"{QUARANTINE}/unproven-{name}")
    storage.sync_folder()


def _sources_of(storage: Storage, segments: list[Segment], *, from_start: bool) -> Sources:
    """Take the newest snapshot there is; segments behind it are scanned.  `from_start`: no segment was dropped yet."""
    behind: list[Segment] = []
    sources = Sources(complete=from_start)
    for segment in reversed(segments):
        summary = load_summary(storage, segment.name, segment.size)
        if summary is not None:
            sources = Sources(summary.sources, complete=summary.complete)
            break
        behind.append(segment)
    for segment in reversed(behind):
        seen = _read_whole(storage, segment)
        sources.complete = sources.complete and not seen.damages
        for place in seen.batches:
            sources.note(
                place.sender, place.source_epoch, place.source_seq, place.count, place.base, segment.epoch, place.passage
            )  # fmt: skip
    return sources
