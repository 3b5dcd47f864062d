"""Blocks and batches: what is put in comes out, and nothing else is read."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sylvite.core.batch import BATCH_BYTES_MAX, CUT_BYTES_MAX, HEADER, Batch, encode_batch
from sylvite.core.block import (
    BLOCK_BYTES_MAX,
    BLOCK_HEADER,
    EMPTY_BLOCK,
    EVENTS_MAX,
    BlockBuilder,
    check_published,
    read_block,
)
from sylvite.core.event import EVENT_BYTES_MAX, Event, Gap, Offset, Origin, pack_data
from sylvite.core.tag import TAG_BYTES_MAX
from sylvite.errors import EventTooBig, RemoteProtocolError


class Entry(NamedTuple):
    tag: str
    data: dict[str, Any]
    cause: int | None = None
    hop: int = 0


ENTRIES = st.lists(
    st.builds(
        Entry,
        st.sampled_from(["a", "b/c", "ü/🙂"]),
        st.dictionaries(st.text(max_size=3), st.integers(0, 2**64 - 1) | st.text(max_size=5), max_size=3),
        st.none() | st.integers(0, 2**64 - 2),
        st.sampled_from([0, 0, 1, 2**32 - 1]),
    ),
    min_size=1,
    max_size=8,
)
SENDER = "uid:1000"


def block_of(entries: list[Entry]) -> bytes:
    builder = BlockBuilder()
    for entry in entries:
        builder.add(entry.tag, pack_data(entry.data), entry.cause, entry.hop)
    block, count = builder.take()
    assert count == len(entries)
    return block


def batch_of(block: bytes, *, base: int = 100, seq: int = 50, sender: str = SENDER) -> Batch:
    return Batch(
        encode_batch(block, base=base, epoch=3, durable=90, stamp_ns=-5, sender=sender, source_epoch=4, source_seq=seq)
    )


def expected(entries: list[Entry], rows: list[int], *, base: int = 100, seq: int = 50) -> list[Event]:
    origin = Origin(3, -5, SENDER, 4)
    return [
        Event(
            entries[row].tag,
            entries[row].data,
            Offset(base + row),
            origin,
            seq + row,
            entries[row].cause,
            entries[row].hop,
        )
        for row in rows
    ]


# -- Round trips -----------------------------------------------------------------------------------------------------


@given(entries=ENTRIES, base=st.integers(0, 2**63), seq=st.integers(0, 2**63), start=st.integers(-1, 9))
@settings(deadline=None, max_examples=40)
def test_events_come_back_as_they_were(entries: list[Entry], base: int, seq: int, start: int) -> None:
    """Tags, data, offsets, links and source seqs, from any offset on."""
    batch = batch_of(block_of(entries), base=base, seq=seq)
    rows = list(range(max(start, 0), len(entries)))
    assert batch.events(base + start) == expected(entries, rows, base=base, seq=seq)
    assert (batch.count, batch.next, batch.last) == (len(entries), base + len(entries), base + len(entries) - 1)
    assert (batch.sender, batch.epoch, batch.durable, batch.stamp_ns, batch.source_epoch) == (SENDER, 3, 90, -5, 4)
    assert batch.crc == 0


@given(data=st.data(), entries=ENTRIES)
@settings(deadline=None, max_examples=40)
def test_a_cut_holds_the_same_events_under_the_same_offsets(data: st.DataObject, entries: list[Entry]) -> None:
    """And so does a cut of a cut."""
    rows = data.draw(st.lists(st.sampled_from(range(len(entries))), unique=True).map(sorted))
    cut = Batch(batch_of(block_of(entries)).cut(rows))
    assert cut.events() == expected(entries, rows)
    assert cut.last == (100 + rows[-1] if rows else 99)
    assert len(cut.tags) == len({entries[row].tag for row in rows})
    again = data.draw(st.lists(st.sampled_from(range(len(rows))), unique=True).map(sorted)) if rows else []
    assert Batch(cut.cut(again)).events() == expected(entries, [rows[row] for row in again])


@given(entries=ENTRIES, keep=st.sets(st.integers(0, 7), min_size=1), bytes_max=st.integers(0, 40))
@settings(deadline=None, max_examples=100)
def test_in_pieces_the_same_events_come_in_the_same_order(entries: list[Entry], keep: set[int], bytes_max: int) -> None:
    """Whole and cut; each piece holds at least one, and no more data than was asked for."""
    rows = sorted(row for row in keep if row < len(entries)) or [0]
    whole = batch_of(block_of(entries))
    for batch in (whole, Batch(whole.cut(rows))):
        got: list[Event | Gap] = []
        start = 0
        while len(got) < len(batch.numbers):
            piece = batch.events(start, bytes_max)
            size = sum(len(pack_data(event.data)) for event in piece if isinstance(event, Event))
            assert len(piece) == 1 or size <= bytes_max
            got += piece
            start = got[-1].offset + 1 if isinstance(got[-1], Event) else got[-1].next
        assert got == batch.events()
        assert batch.events(start, bytes_max) == []


@given(entries=ENTRIES, row=st.integers(0, 7))
@settings(deadline=None, max_examples=40)
def test_one_event_is_read_without_the_others(entries: list[Entry], row: int) -> None:
    """In a batch of which nothing was read before: each question stands for itself."""
    row %= len(entries)
    whole = batch_of(block_of(entries))
    raw, entry = whole.raw, entries[row]
    assert Batch(raw).packed_data(row) == pack_data(entry.data)
    assert Batch(raw).link(row) == (entry.cause, entry.hop)
    assert Batch(raw).offset(row) == 100 + row
    assert Batch(raw).tags[Batch(raw).numbers[row]] == entry.tag
    cut = whole.cut([row])
    assert Batch(cut).offset(0) == 100 + row
    assert Batch(cut).link(0) == (entry.cause, entry.hop)
    assert Batch(cut).last == 100 + row


def test_a_tag_is_there_once_however_many_events_carry_it() -> None:
    batch = batch_of(block_of([Entry("a", {}), Entry("b", {}), Entry("a", {})]))
    assert batch.tags == ["a", "b"]
    assert batch.numbers == (0, 1, 0)


def test_the_bytes_are_those_of_the_specification() -> None:
    """docs/log-format.md: a change here is another format."""
    block = block_of([Entry("a", {}), Entry("b", {"n": 1}, 7, 2)])
    assert block.hex(" ") == (
        "02 00 00 00 05 00 00 00 02 00 00 00 92 a1 61 a1 62 00 00 01 00 01 00 00 00 04 00 00 00 "
        "ff ff ff ff ff ff ff ff 00 00 00 00 07 00 00 00 00 00 00 00 02 00 00 00 80 81 a1 6e 01"
    )
    assert batch_of(block, sender="x").raw[:65].hex(" ") == (
        "53 79 42 31 7b 00 00 00 00 00 00 00 00 00 01 00 64 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00 "
        "5a 00 00 00 00 00 00 00 fb ff ff ff ff ff ff ff 04 00 00 00 00 00 00 00 32 00 00 00 00 00 00 00 78"
    )
    assert EMPTY_BLOCK.hex(" ") == "00 00 00 00 01 00 00 00 00 00 00 00 90"


def test_a_sync_mark_holds_no_events() -> None:
    batch = batch_of(EMPTY_BLOCK)
    assert (batch.count, batch.next, batch.last, batch.tags, batch.events()) == (0, 100, 99, [], [])


def test_a_builder_starts_anew() -> None:
    builder = BlockBuilder()
    empty = builder.size
    builder.add("a", pack_data({}), 5)
    assert builder.peek() == builder.peek()
    assert builder.take()[1] == 1
    assert (len(builder), builder.size) == (0, empty)
    builder.add("b", pack_data({}))
    assert batch_of(builder.take()[0]).link(0) == (None, 0)


@given(ENTRIES)
@settings(deadline=None, max_examples=40)
def test_a_builder_never_says_too_little(entries: list[Entry]) -> None:
    builder = BlockBuilder()
    for entry in entries:
        builder.add(entry.tag, pack_data(entry.data), entry.cause, entry.hop)
        assert len(builder.peek()[0]) <= builder.size <= len(builder.peek()[0]) + 30 * len(entries)


def test_what_one_publisher_got_wrong_does_not_stop_a_reader() -> None:
    """Data that cannot be decoded becomes a gap of one event."""
    builder = BlockBuilder()
    for packed in (
        pack_data({"n": 1}),
        b"\xc1",
        b"\x91" * 20_000,
        b"",
        b"\x81\xa1a" * 3000,
        b"\xff" * 20_000,
        pack_data({"n": 2}),
    ):
        builder.add("a", packed)
    first, *gaps, last = batch_of(builder.take()[0]).events()
    assert isinstance(first, Event)
    assert isinstance(last, Event)
    assert [(gap.first, gap.next, gap.reason, gap.count) for gap in gaps if isinstance(gap, Gap)] == [
        (offset, offset + 1, "undecodable", 1) for offset in range(101, 106)
    ]


# -- Limits ----------------------------------------------------------------------------------------------------------


def test_a_block_holds_so_many_events() -> None:
    block = block_of([Entry("a", {})] * EVENTS_MAX)
    assert read_block(block).numbers == (0,) * EVENTS_MAX
    with pytest.raises(RemoteProtocolError, match="8193 events"):
        read_block(block_of([Entry("a", {})] * (EVENTS_MAX + 1)))


def test_sizes_that_cut_through_maps_give_each_reader_the_same() -> None:
    """Taken as one run these bytes hold two maps; by their sizes they hold none, and a reader of one of them sees that."""
    builder = BlockBuilder()
    builder.add("a", b"\x81\xa1a")  # a map that wants a value
    builder.add("a", b"\x80\x80")  # two maps
    block, _ = builder.take()
    batch = batch_of(block)
    assert [type(item) for item in batch.events()] == [Gap, Gap]
    assert [type(item) for row in (0, 1) for item in Batch(batch.cut([row])).events()] == [Gap, Gap]


def test_a_published_block_has_a_greatest_size() -> None:
    """What is larger would not fit into a batch, and be taken for damage when the log is read."""
    builder = BlockBuilder()
    builder.add("a", b"x" * (BLOCK_BYTES_MAX - BLOCK_HEADER.size - 3 - 6))
    block, _ = builder.take()
    assert len(block) == BLOCK_BYTES_MAX
    assert check_published(block, 0, 2 * EVENT_BYTES_MAX).tags == ["a"]
    batch = encode_batch(block, base=0, epoch=0, durable=0, stamp_ns=0, sender="x" * 1024, source_epoch=0, source_seq=0)
    assert len(batch) == BATCH_BYTES_MAX
    with pytest.raises(RemoteProtocolError, match="limit is"):
        check_published(block + b"x", 0, 2 * EVENT_BYTES_MAX)


def test_the_greatest_event_fits_behind_others() -> None:
    builder = BlockBuilder()
    builder.add("x", b"x" * (64 * 1024))
    builder.add("ü" * (TAG_BYTES_MAX // 2), b"x" * EVENT_BYTES_MAX, 5, 1)
    assert len(builder.peek()[0]) <= builder.size <= BLOCK_BYTES_MAX


def test_the_data_of_a_published_event_has_a_limit() -> None:
    block = block_of([Entry("a", {}), Entry("b", {"a": "xyz"})])
    assert check_published(block, 0, 7).tags == ["a", "b"]
    with pytest.raises(EventTooBig) as caught:
        check_published(block, 0, 6)
    assert (caught.value.size, caught.value.limit) == (7, 6)


def test_a_publisher_gives_events_and_no_offsets() -> None:
    batch = batch_of(block_of([Entry("a", {}), Entry("b", {})]))
    for block in (EMPTY_BLOCK, batch.cut([1])[HEADER.size + len(SENDER) :], batch.cut([])[HEADER.size + len(SENDER) :]):
        with pytest.raises(RemoteProtocolError, match="must hold events, without offsets"):
            check_published(block, 0, 100)


def test_the_largest_cut_has_its_limit() -> None:
    """Eight thousand small events and a large one: without the last small one, offsets make it larger than the whole."""
    room = BLOCK_BYTES_MAX - BLOCK_HEADER.size - 7 * EVENTS_MAX - 2
    entries = [Entry("", {})] * (EVENTS_MAX - 1)
    builder = BlockBuilder()
    builder.add("", b"\x81" + b"x" * room)
    for entry in entries:
        builder.add(entry.tag, pack_data(entry.data))
    block, _ = builder.take()
    assert len(block) == BLOCK_BYTES_MAX
    batch = batch_of(block)
    cut = batch.cut(range(EVENTS_MAX - 1))
    assert len(batch.raw) < len(cut) <= CUT_BYTES_MAX
    assert Batch(cut).last == 100 + EVENTS_MAX - 2


# -- What is no block ------------------------------------------------------------------------------------------------

PARTS = st.binary(max_size=40)


def read_all(raw: bytes) -> None:
    """Ask a batch everything."""
    batch = Batch(raw)
    assert isinstance(batch.sender, str)
    assert batch.next >= batch.base
    assert len(batch.numbers) == batch.count
    assert batch.last >= batch.base - 1
    for row in range(batch.count):
        batch.link(row)
        batch.offset(row)
        batch.packed_data(row)
    assert len(batch.events()) == batch.count
    assert Batch(batch.cut(range(batch.count))).count == batch.count


def refused_or_read(raw: bytes) -> None:
    try:
        read_all(raw)
    except RemoteProtocolError:
        pass  # The one error that is promised.
    try:
        check_published(raw, HEADER.size, 50)
    except (RemoteProtocolError, EventTooBig):
        pass  # As documented.


@given(entries=ENTRIES, size=st.integers(0, 600), more=PARTS)
@settings(deadline=None, max_examples=40)
def test_a_batch_that_is_cut_short_or_goes_on_is_refused(entries: list[Entry], size: int, more: bytes) -> None:
    whole = batch_of(block_of(entries)).raw
    for raw in (whole[: size % len(whole)], whole + more + b"x"):
        with pytest.raises(RemoteProtocolError):
            Batch(raw)
        with pytest.raises(RemoteProtocolError):
            read_block(raw, HEADER.size + len(SENDER))


@given(
    entries=ENTRIES,
    changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    cut=st.booleans(),
)
@settings(deadline=None, max_examples=120)
def test_a_changed_batch_is_read_or_refused(entries: list[Entry], changes: list[tuple[int, int]], cut: bool) -> None:
    """Whatever byte is another one: the documented error, or events and gaps."""
    batch = batch_of(block_of(entries))
    raw = bytearray(batch.cut(range(len(entries))) if cut else batch.raw)
    for place, value in changes:
        raw[place % len(raw)] = value
    refused_or_read(bytes(raw))


@given(
    count=st.integers(0, 4) | st.sampled_from([EVENTS_MAX, 2**16, 2**31, 2**32 - 1]),
    tags=PARTS | st.lists(st.text(max_size=2), max_size=4).map(msgspec.msgpack.encode),
    lie=st.sampled_from([0, 0, 0, 1, -1, 2**31]),
    flags=st.integers(0, 4),
    rest=PARTS,
)
@settings(deadline=None, max_examples=120)
def test_any_block_is_read_or_refused(count: int, tags: bytes, lie: int, flags: int, rest: bytes) -> None:
    block = BLOCK_HEADER.pack(count, max(0, len(tags) + lie), flags) + tags + rest
    refused_or_read(
        encode_batch(block, base=0, epoch=0, durable=0, stamp_ns=0, sender="", source_epoch=0, source_seq=0)
    )


@pytest.mark.parametrize(
    "tags",
    [
        b"", b"\xc0", b"\x92\xa1a\xa1b", b"\x91\xa2a", b"\x91\xa1\xff", b"\x91\x01", b"\x90", b"\x91\xa1a\xc0", b"\xdc\x00\x02\xa1a\xa1b",
        b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xdc", b"\xdd\x00", b"\x91" * 50, b"\xdc\x00\x01", b"\xd4\x01\x02",
    ],
)  # fmt: skip
def test_the_tag_list_is_a_list_of_no_more_tags_than_events(tags: bytes) -> None:
    rest = struct.pack("<HI", 0, 1) + b"\x80"
    assert read_block(BLOCK_HEADER.pack(1, 3, 0) + b"\x91\xa1a" + rest).tags == ["a"]
    assert read_block(BLOCK_HEADER.pack(1, 5, 0) + b"\xdc\x00\x01\xa1a" + rest).tags == ["a"]
    assert read_block(BLOCK_HEADER.pack(1, 7, 0) + b"\xdd\x00\x00\x00\x01\xa1a" + rest).tags == ["a"]
    with pytest.raises(RemoteProtocolError):
        read_block(BLOCK_HEADER.pack(1, len(tags), 0) + tags + rest)


def test_a_tag_number_that_there_is_no_tag_for_is_refused() -> None:
    block = bytearray(block_of([Entry("a", {}), Entry("b", {})]))
    at = BLOCK_HEADER.size + 5
    assert block[at : at + 4] == b"\0\0\1\0"
    block[at + 2] = 2
    with pytest.raises(RemoteProtocolError, match="do not add up"):
        read_block(bytes(block))
