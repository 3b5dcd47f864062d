"""Exported events, read back: what a log has no room for is refused where it stands."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest

from sylvite.cli.archive import MAGIC, SENDER_BYTES_MAX, BadArchive, read_archive
from sylvite.core.batch import encode_batch
from sylvite.core.block import BlockBuilder
from sylvite.core.event import EVENT_BYTES_MAX
from sylvite.eventlog.checksum import sealed

LINE: dict[str, Any] = {
    "offset": 5, "stamp": "2026-11-24T10:00:00Z", "tag": "a/b", "sender": "uid:0", "source": "00000000000000ff/3",
    "data": {"n": 1}, "hop": 2, "cause": 4,
}  # fmt: skip


def test_a_line_comes_back_as_it_was() -> None:
    ((event, _),) = read_archive(io.BytesIO(msgspec.json.encode(LINE)))
    assert (event.offset, event.source_epoch, event.source_seq, event.hop, event.cause) == (5, 255, 3, 2, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"offset": -1}, {"offset": 2**62}, {"source": "1ffffffffffffffff/0"}, {"source": f"0/{2**63}"}, {"source": "-1/0"},
        {"source": "0/-1"}, {"source": "x"}, {"hop": -1}, {"hop": 2**32}, {"cause": -1}, {"cause": 2**64 - 1},
        {"stamp": "2026-11-24T10:00:00"}, {"stamp": "9999-12-31T00:00:00Z"}, {"tag": "a\nb"}, {"tag": ""},
        {"sender": "a\x1b[2Jb"}, {"sender": "x" * (SENDER_BYTES_MAX + 1)}, {"data": {"x": "y" * EVENT_BYTES_MAX}},
    ],
    ids=str,
)  # fmt: skip
def test_a_line_that_no_log_has_room_for_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadArchive, match="line 1"):
        list(read_archive(io.BytesIO(msgspec.json.encode(LINE | wrong))))


def test_an_event_that_is_too_large_is_refused_in_a_batch_too() -> None:
    """One that passed would make a batch in the log that is taken for damage."""
    builder = BlockBuilder()
    builder.add("a", b"\xc6" + (EVENT_BYTES_MAX).to_bytes(4, "big") + bytes(EVENT_BYTES_MAX))
    raw = encode_batch(
        builder.take()[0], base=0, epoch=1, durable=0, stamp_ns=0, sender="uid:0", source_epoch=0, source_seq=0
    )
    with pytest.raises(BadArchive, match="byte 8"):
        list(read_archive(io.BytesIO(MAGIC + sealed(raw))))
