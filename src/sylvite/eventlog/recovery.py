"""Recovery: open a log after whatever happened.  Spec: docs/log-format.md, "Recovery".

The question at the end of the last segment is whether bytes that are no batch are a *tear* (a write that nobody was
told of, cut short by a crash) or *damage* (something that was there, and is broken). A tear is copied aside and cut;
damage is left where it is, and readers get a gap. Every batch and every segment names the offset below which all was
synced when it was written: what is below the highest of these is proven, and never cut.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sylvite.core.batch import Batch
from sylvite.errors import LogDamaged, LogNotUnderstood
from sylvite.eventlog.history import Segment
from sylvite.eventlog.index import Index, Summary, load_summary, save_summary
from sylvite.eventlog.segment import START, Damage, SegmentHeader, base_of, decode_header, scan
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


class _LastSegment(msgspec.Struct):
    """What a scan of a whole segment found."""

    index: Index
    batches: list[tuple[int, Batch]]
    damages: list[Damage]
    end_position: int
    durable: int


def find_segments(storage: Storage, log_id: str, notes: list[Note], *, repair: bool) -> list[Segment]:
    """Return the segments there are, oldest first.

    Raises:
        LogNotUnderstood: one belongs to another log, or is of a newer format.
    """
    bases = sorted(base for name in storage.names() if (base := base_of(name)) is not None)
    segments: list[Segment] = []
    for base in bases:
        name = f"seg-{base:020d}.log"
        file = storage.open(name)
        try:
            size = file.size()
            header = decode_header(file.read_at(0, START), name)
            if header is None:
                header = _header_from_batches(file, base, log_id)
                if header is None and base == bases[-1]:
                    # A crash while the segment was being made: nothing was ever acknowledged from it.
                    if repair:
                        _move_aside(storage, name)
                    notes.append(Note("recovered", {"segment": name, "bytes": size, "events": 0}))
                    continue
                notes.append(Note("corrupt", {"segment": name, "position": 0, "detail": "its header is damaged"}))
                header = header or SegmentHeader(bytes.fromhex(log_id), 0, base, base, 0)
            if header.log_id.hex() != log_id or header.base != base:
                raise LogNotUnderstood(
                    f"{name} belongs to another log ({header.log_id.hex()}) or another place (@{header.base}). "
                    "Move it out of the folder: nothing was changed"
                )
            segments.append(Segment(name, header, size))
        finally:
            file.close()
    return segments


def _header_from_batches(file: File, base: int, log_id: str) -> SegmentHeader | None:
    for found in scan(file, None):
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
    segments = find_segments(storage, log_id, notes, repair=True)
    sources = Sources()
    empty: list[Segment] = []
    durable, end = proven, 0
    while segments:
        last = segments[-1]
        seen = _read_last(storage, last)
        durable = max(durable, seen.durable)
        if len(segments) > 1 and durable < last.base and _ends_early(storage, segments[-2], last.base, durable):
            # The end of the segment before never reached the disk; what is behind it was told to nobody either.
            _move_aside(storage, last.name)
            notes.append(Note("recovered", {"segment": last.name, "bytes": last.size, "events": len(seen.batches)}))
            segments.pop()
            continue
        end = _close_end(storage, last, seen, durable, notes)
        if seen.batches:
            for _, batch in seen.batches:
                sources.note(batch)
            last.index = seen.index
            break
        # A broker that started and took no event: the next one's first segment takes its name and its place.
        empty.append(segments.pop())
        end = last.base
    _restore_sources(storage, segments, sources)
    if end < durable:
        if not accept_loss:
            raise LogDamaged(
                f"events @{end}..@{durable - 1} were synced and are not in the log any more. Restore the log from a copy, "
                "or start once with --accept-loss: readers then get a gap in their place"
            )
        notes.append(Note("corrupt", {"first": end, "next": durable, "detail": "lost, accepted by the operator"}))
        end = durable
    for segment in empty:
        if segment.base != end:
            storage.remove(segment.name)
    if segments:
        last = segments[-1]
        index = last.index or Index()
        save_summary(storage, last.name, Summary(last.size, end, index.entries, sources.snapshot()))
    return Recovered(segments, end, sources, notes)


def _read_last(storage: Storage, segment: Segment) -> _LastSegment:
    file = storage.open(segment.name)
    try:
        header = decode_header(file.read_at(0, START), segment.name)
        seen = _LastSegment(Index(), [], [], START, header.durable if header else 0)
        for found in scan(file, segment.epoch):
            if isinstance(found, Damage):
                seen.damages.append(found)
                continue
            batch, position = found.batch, found.position
            seen.batches.append((position, batch))
            seen.index.note(batch, position)
            seen.end_position = position + len(batch.raw)
            seen.durable = max(seen.durable, batch.durable)
        return seen
    finally:
        file.close()


def _ends_early(storage: Storage, segment: Segment, wanted: int, durable: int) -> bool:
    """Say whether the events of a segment stop before `wanted`, and at a point that was never proven."""
    seen = _read_last(storage, segment)
    end = segment.base
    for _, batch in seen.batches:
        if batch.base > end:
            break
        end = max(end, batch.next)
    return durable <= end < wanted


def _close_end(storage: Storage, segment: Segment, seen: _LastSegment, durable: int, notes: list[Note]) -> int:
    """Cut the tear, if there is one, note the damage, and return the offset after the last event kept."""
    cut_at: Damage | None = None
    for damage in seen.damages:
        expected = _expected(segment, seen, damage.start)
        nothing_behind = damage.start >= seen.end_position
        # Batches behind a lost write go with it where none of them is proven: a prefix is worth more than a hole.
        if expected >= durable and (nothing_behind or damage.torn):
            cut_at = damage
            break
        following = next((batch.base for position, batch in seen.batches if position >= damage.end), None)
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
        file.sync()
    finally:
        file.close()
    end = seen.batches[-1][1].next if seen.batches else segment.base
    return max(end, segment.base)


def _expected(segment: Segment, seen: _LastSegment, position: int) -> int:
    before = [batch.next for at, batch in seen.batches if at < position]
    return before[-1] if before else segment.base


def _cut(storage: Storage, segment: Segment, seen: _LastSegment, position: int, notes: list[Note]) -> None:
    gone = [batch for at, batch in seen.batches if at >= position]
    seen.batches = [(at, batch) for at, batch in seen.batches if at < position]
    seen.index.forget_from(seen.batches[-1][1].next if seen.batches else segment.base)
    name = f"{QUARANTINE}/torn-{segment.base:020d}-{position}-{segment.epoch:016x}"
    source = storage.open(segment.name)
    try:
        bytes_cut = _copy(storage, source, position, name)
    finally:
        source.close()
    segment.size = position
    facts: dict[str, int | str] = {
        "segment": segment.name, "position": position, "bytes": bytes_cut, "kept_in": name,
        "events": sum(batch.count for batch in gone), "end": seen.batches[-1][1].next if seen.batches else segment.base,
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
    storage.rename(name, f"{QUARANTINE}/unborn-{name}")
    storage.sync_folder()


def _restore_sources(storage: Storage, segments: list[Segment], sources: Sources) -> None:
    """Take the newest snapshot there is; segments behind it are scanned."""
    without: list[Segment] = []
    for segment in reversed(segments[:-1]):
        summary = load_summary(storage, segment.name, segment.size)
        if summary is not None:
            older = Sources()
            older.restore(summary.sources)
            _note_all(storage, reversed(without), older)
            sources.restore(older.snapshot())
            return
        without.append(segment)
    older = Sources()
    _note_all(storage, reversed(without), older)
    sources.restore(older.snapshot())


def _note_all(storage: Storage, segments: Iterable[Segment], sources: Sources) -> None:
    for segment in segments:
        file = storage.open(segment.name)
        try:
            for found in scan(file, segment.epoch):
                if not isinstance(found, Damage):
                    sources.note(found.batch)
        finally:
            file.close()
