"""Archives: exported events, read back from either format.

`ndjson`: an envelope a line (core/event.py). `evlog`: MAGIC, and then batches as they lie in the log
(core/batch.py), each with its checksum; batches of which only some events were chosen name their offsets.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, BinaryIO, NamedTuple

import msgspec

from sylvite.core.batch import BATCH_BYTES_MAX, HEADER, Batch
from sylvite.core.event import EVENT_BYTES_MAX, pack_data
from sylvite.core.tag import check_tag, unfit_in
from sylvite.errors import InvalidInput, RemoteProtocolError
from sylvite.eventlog.checksum import is_whole

MAGIC = b"SylvArc1"
LINE_BYTES_MAX = 16 * 1024 * 1024


class Archived(NamedTuple):
    """An event of an archive; `packed` is its data in MessagePack."""

    offset: int
    tag: str
    packed: bytes
    sender: str
    source_epoch: int
    source_seq: int
    stamp_ns: int
    cause: int | None
    hop: int


class BadArchive(InvalidInput):
    """What cannot be an event, and where.  What came before it was good."""

    code = "bad_archive"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where, self.reason = where, reason


_RANGES = {
    "offset": range(2**62), "source_epoch": range(2**64), "source_seq": range(2**63), "stamp_ns": range(-(2**63), 2**63),
    "hop": range(2**32),
}  # fmt: skip
"""What a batch has room for (core/batch.py)."""
_CAUSES = range(2**62)
SENDER_BYTES_MAX = 256


class _Envelope(msgspec.Struct):
    offset: int
    stamp: Annotated[datetime, msgspec.Meta(tz=True)]
    tag: str
    sender: str
    source: str
    data: dict[str, Any]
    cause: int | None = None
    hop: int = 0


_decoder = msgspec.json.Decoder(_Envelope)


def read_archive(file: BinaryIO) -> Iterator[tuple[Archived, int]]:
    """Yield each event, and how many bytes of the file have been read, whichever format it is.

    Raises:
        BadArchive: a line or a batch that is none, with its number or place.
    """
    start = file.read(len(MAGIC))
    return _read_batches(file) if start == MAGIC else _read_lines(file, start)


def _read_lines(file: BinaryIO, start: bytes) -> Iterator[tuple[Archived, int]]:
    number = done = 0
    while line := start + file.readline(LINE_BYTES_MAX):
        start = b""
        number += 1
        done += len(line)
        if not line.strip():
            continue
        try:
            yield _checked(_from_line(line)), done
        except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError) as error:
            raise BadArchive(f"line {number}", f"not an exported event: {error}") from error


def _checked(event: Archived) -> Archived:
    """Return the event.  Raises InvalidInput: the log has no room for one of its numbers, or it is none of ours."""
    check_tag(event.tag)
    for name, room in _RANGES.items():
        if getattr(event, name) not in room:
            raise InvalidInput(f"{name} is {getattr(event, name)}, beyond what a log can hold")
    if event.cause is not None and event.cause not in _CAUSES:
        raise InvalidInput(f"cause is {event.cause}, beyond what a log can hold")
    if len(event.packed) > EVENT_BYTES_MAX:
        raise InvalidInput(f"the event has {len(event.packed)} bytes of data; the limit is {EVENT_BYTES_MAX}")
    if (unfit := unfit_in(event.sender)) or len(event.sender.encode()) > SENDER_BYTES_MAX:
        raise InvalidInput(f"sender: {unfit or f'it has at most {SENDER_BYTES_MAX} bytes'}")
    return event


def _from_line(line: bytes) -> Archived:
    envelope = _decoder.decode(line)
    source_epoch, _, source_seq = envelope.source.partition("/")
    since_1970 = envelope.stamp - datetime.fromisoformat("1970-01-01T00:00:00Z")
    stamp_ns = ((since_1970.days * 86_400 + since_1970.seconds) * 1_000_000 + since_1970.microseconds) * 1000
    return Archived(
        envelope.offset,
        envelope.tag,
        pack_data(envelope.data),
        envelope.sender,
        int(source_epoch, 16),
        int(source_seq),
        stamp_ns,
        envelope.cause,
        envelope.hop,
    )


def _read_batches(file: BinaryIO) -> Iterator[tuple[Archived, int]]:
    position = len(MAGIC)
    while head := file.read(HEADER.size):
        size = int.from_bytes(head[4:8], "little")
        if not HEADER.size <= size <= BATCH_BYTES_MAX:
            raise BadArchive(f"byte {position}", "not a batch")
        raw = head + file.read(size - HEADER.size)
        if len(raw) < size:
            raise BadArchive(f"byte {position}", "the archive ends in the middle of a batch")
        if not is_whole(raw):
            raise BadArchive(f"byte {position}", "the batch is damaged: its checksum does not match")
        position += size
        try:
            batch = Batch(raw)
            for row, number in enumerate(batch.numbers):
                offset = batch.offset(row)
                cause, hop = batch.link(row)
                event = Archived(
                    offset, batch.tags[number], batch.packed_data(row), batch.sender, batch.source_epoch,
                    batch.source_seq + offset - batch.base, batch.stamp_ns, cause, hop,
                )  # fmt: skip
                yield _checked(event), position
        except (RemoteProtocolError, InvalidInput) as error:
            raise BadArchive(f"byte {position - size}", str(error)) from error
