"""Segments: one file of batches, and how its bytes are told apart from damage.  Spec: docs/log-format.md, "Segment".

    byte  size  field
    0     8     magic, b"SylvSeg1"
    8     4     format, 1
    12    4     size of this header, 4096: batches never share a sector with it
    16    16    log id
    32    8     epoch: random, of the start of the broker that made this file
    40    8     base: the offset of the first event
    48    8     durable: every offset below it was synced when this file was made
    56    8     created, ns since 1970, UTC
    64    4     CRC-32C of bytes 0 to 63
    4096        batches, one after the other; zeros behind the last one

All numbers are little-endian.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Annotated

import msgspec

from sylvite.core.batch import BATCH_BYTES_MAX, HEADER, MAGIC, Batch
from sylvite.core.block import BLOCK_HEADER
from sylvite.errors import LogNotUnderstood, RemoteProtocolError
from sylvite.eventlog.checksum import crc32c, is_whole
from sylvite.eventlog.storage import File, Storage

SEGMENT_MAGIC = b"SylvSeg1"
FORMAT = 1
START = 4096
READ_BYTES = 256 * 1024
SECTOR = 512
OFFSETS_MAX = 1 << 62
STORED_MAX = 1 << 61
"""Of what a file says: what is beyond it was not written by us.  It leaves room for as many events again."""
Stored = Annotated[int, msgspec.Meta(ge=0, le=STORED_MAX)]
ANY = range(OFFSETS_MAX)
_SEGMENT_HEADER = Struct("<8sII16sQQQq")
_CRC = Struct("<I")


class SegmentHeader(msgspec.Struct, frozen=True):
    log_id: bytes
    epoch: int
    base: int
    durable: int
    created_ns: int

    def encode(self) -> bytes:
        head = _SEGMENT_HEADER.pack(
            SEGMENT_MAGIC, FORMAT, START, self.log_id, self.epoch, self.base, self.durable, self.created_ns
        )
        return (head + _CRC.pack(crc32c(head))).ljust(START, b"\0")


def decode_header(raw: bytes, name: str) -> SegmentHeader | None:
    """Return the header, or None where it is damaged.

    Raises:
        LogNotUnderstood: it is whole, and of a format newer than ours.
    """
    if len(raw) < _SEGMENT_HEADER.size + 4:
        return None
    head = raw[: _SEGMENT_HEADER.size]
    magic, version, start, log_id, epoch, base, durable, created_ns = _SEGMENT_HEADER.unpack(head)
    if _CRC.unpack_from(raw, _SEGMENT_HEADER.size)[0] != crc32c(head) or magic != SEGMENT_MAGIC:
        return None
    if base > STORED_MAX or durable > STORED_MAX:
        return None
    if version != FORMAT or start != START:
        raise LogNotUnderstood(
            f"{name} has format {version}; this version of Sylvite reads format {FORMAT}. Use a newer one: nothing was changed"
        )
    return SegmentHeader(log_id, epoch, base, durable, created_ns)


def file_name(base: int) -> str:
    return f"seg-{base:020d}.log"


def base_of(name: str) -> int | None:
    """Return the base that a file name says, or None for a file that is no segment."""
    if (
        name.startswith("seg-")
        and name.endswith(".log")
        and len(name) == 28
        and name[4:24].isascii()
        and name[4:24].isdigit()
    ):
        base = int(name[4:24])
        return base if base <= STORED_MAX else None
    return None


class Damage(msgspec.Struct, frozen=True):
    """Bytes between two positions that are no batch."""

    start: int
    end: int
    torn: bool
    """Looks like a write that never arrived: the file ends inside it, or a whole sector of it is zero."""


class Scanned(msgspec.Struct, frozen=True):
    position: int
    batch: Batch


def scan(
    file: File, epoch: int | None, position: int = START, end: int | None = None, *, held: range = ANY
) -> Iterator[Scanned | Damage]:
    """Yield what lies in a segment from `position` on, in order: whole batches, and the damage between them.

    Stops at the zeros behind the last batch, or at `end`. `epoch` is that of the segment: a batch of another one is a
    block from elsewhere, so damage; None accepts the first batch's. `held`: the offsets that a batch may have here; one
    with others, or with lower ones than what was before it, is from elsewhere too. So is one that is ahead of its
    turn, which shows by what has its turn coming later.
    """
    size = file.size() if end is None else end
    is_turn_known = position == START and held is not ANY
    buffer, start = b"", position  # buffer holds the file's bytes from `start` on
    while position < size:
        if position + HEADER.size > start + len(buffer):
            buffer, start = file.read_at(position, min(READ_BYTES, size - position)), position
        raw = _batch_at(file, buffer, start, position, size, epoch, held)
        wanted = held
        if raw is not None and is_turn_known and raw.base > held.start:
            skipped = range(held.start, raw.base)
            if _next_batch(file, position + len(raw.raw), size, epoch, skipped) is not None:
                raw, wanted = None, skipped
        if raw is not None:
            epoch, held, is_turn_known = raw.epoch, range(raw.next, held.stop), True
            yield Scanned(position, raw)
            position += len(raw.raw)
            continue
        if _only_zeros(file, position, size):
            return
        following = _next_batch(file, position + 1, size, epoch, wanted)
        until = size if following is None else following
        content = file.read_at(position, min(until - position, 2 * BATCH_BYTES_MAX))
        torn = (following is None and _looks_cut(content)) or _has_zero_sector(content, position)
        yield Damage(position, until, torn)
        if following is None:
            return
        position = following


def _batch_at(
    file: File, buffer: bytes, start: int, position: int, size: int, epoch: int | None, held: range
) -> Batch | None:
    at = position - start
    if buffer[at : at + 4] != MAGIC or position + HEADER.size + BLOCK_HEADER.size > size:
        return None
    length = int.from_bytes(buffer[at + 4 : at + 8], "little")
    if not HEADER.size + BLOCK_HEADER.size <= length <= min(BATCH_BYTES_MAX, size - position):
        return None
    raw = buffer[at : at + length]
    if len(raw) < length:
        raw = file.read_at(position, length)
    if len(raw) < length or not is_whole(raw):
        return None
    try:
        batch = Batch(raw)
    except RemoteProtocolError:
        return None
    is_ours = held.start <= batch.base and batch.next <= held.stop and epoch in (None, batch.epoch)
    return batch if is_ours and max(batch.next, batch.durable) <= STORED_MAX else None


def _only_zeros(file: File, position: int, size: int) -> bool:
    while position < size:
        content = file.read_at(position, min(READ_BYTES, size - position))
        if not content:
            return True
        if content.count(0) != len(content):
            return False
        position += len(content)
    return True


def _next_batch(file: File, position: int, size: int, epoch: int | None, held: range) -> int | None:
    """Return where the next whole batch begins, looking at every byte."""
    overlap = len(MAGIC) - 1
    while position < size:
        content = file.read_at(position, min(READ_BYTES, size - position))
        found = content.find(MAGIC)
        while found >= 0:
            head = file.read_at(position + found, HEADER.size)
            if _batch_at(file, head, position + found, position + found, size, epoch, held) is not None:
                return position + found
            found = content.find(MAGIC, found + 1)
        if len(content) <= overlap:
            return None
        position += len(content) - overlap
    return None


def _looks_cut(content: bytes) -> bool:
    """Say whether a batch begins here whose announced size is more than there is."""
    if len(content) < 8 or content[:4] != MAGIC:
        return len(content) < HEADER.size + BLOCK_HEADER.size
    return int.from_bytes(content[4:8], "little") > len(content)


def _has_zero_sector(content: bytes, position: int) -> bool:
    first = -position % SECTOR
    for at in range(first, len(content) - SECTOR + 1, SECTOR):
        if content.count(0, at, at + SECTOR) == SECTOR:
            return True
    # A write that begins or ends inside a sector: its part there may be missing, while the rest of the sector is older.
    head = content[:first]
    tail = content[first + (len(content) - first) // SECTOR * SECTOR :]
    return any(0 < len(part) == part.count(0) for part in (head, tail))


def open_segment(storage: Storage, name: str) -> tuple[File, SegmentHeader | None]:
    file = storage.open(name, write=True)
    return file, decode_header(file.read_at(0, START), name)
