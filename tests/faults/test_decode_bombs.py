"""D-02: small input that would cost much: refused, or decoded, within a bound on memory and on work.

Memory is the peak that Python allocates; work is the number of calls, and within one call of a decoder it is in
proportion to the size of the input, which has a limit. Neither depends on how busy the machine is.
"""

from __future__ import annotations

import contextlib
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import msgspec
import pytest

from sylvite.config import read_config
from sylvite.core import event
from sylvite.core.batch import Batch as ReadBatch
from sylvite.core.batch import encode_batch
from sylvite.core.block import BLOCK_BYTES_MAX, BLOCK_HEADER, EVENTS_MAX, check_published, read_block
from sylvite.core.event import CONTAINERS_MAX, EVENT_BYTES_MAX, unpack_data
from sylvite.core.pattern import Filter
from sylvite.errors import FrameTooBig, InvalidData, InvalidSetting, RemoteProtocolError, SylviteError
from sylvite.wire.frame import FRAME_BYTES_MAX, FrameDecoder, encode_frame
from sylvite.wire.messages import decode
from tests.faults.report import control, report

MEBI = 1024 * 1024
DECODED_BYTES_MAX = 40 * MEBI
"""For data that is as large as it may be, of texts of two characters: what has no map or list in it."""
REFUSED_BYTES_MAX = 2 * MEBI
CALLS_MAX = 300_000
"""A third of a call for each byte of the largest event: the walk that counts maps and lists, at its worst."""


class Cost:
    """The peak of memory, in bytes, while `run` ran; and whether it was refused."""

    def __init__(self, run: Callable[[], object], *errors: type[SylviteError]) -> None:
        self.refused = False
        tracemalloc.start()
        try:
            run()
        except errors:
            self.refused = True
        finally:
            self.peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()


def calls_of(run: Callable[[], object], *errors: type[SylviteError]) -> int:
    """Return how many calls are made, of Python's functions and of C's."""
    calls = 0

    def count(frame: FrameType, kind: str, argument: object) -> None:
        nonlocal calls
        del frame, argument
        calls += kind in ("call", "c_call")

    sys.setprofile(count)
    try:
        with contextlib.suppress(*errors):
            run()
    finally:
        sys.setprofile(None)
    return calls


def hold_refused(
    run: Callable[[], object],
    *errors: type[SylviteError],
    what: str = "messages",
    bytes_max: int = REFUSED_BYTES_MAX,
    calls_max: int = CALLS_MAX,
) -> None:
    """Raises AssertionError: it is taken, or takes more memory or more work than that."""
    cost = Cost(run, *errors)
    counters = {"taken": int(not cost.refused)} | _bounds(what, cost.peak, calls_of(run, *errors))
    report(f"D-02 {what}", seed=0, runs=1, counters=counters, target={"taken": 0} | _bounds(what, bytes_max, calls_max))


def hold_in_proportion(
    run: Callable[[], object], what: str, bytes_max: int = REFUSED_BYTES_MAX, calls_max: int = CALLS_MAX
) -> None:
    """Raises AssertionError: it takes more memory or more work than that."""
    counters = _bounds(what, Cost(run).peak, calls_of(run))
    report(f"D-02 {what}", seed=0, runs=1, counters=counters, target=_bounds(what, bytes_max, calls_max))


def _bounds(what: str, peak: int, calls: int) -> dict[str, float]:
    return {f"peak_kib_{what}": peak // 1024, f"calls_{what}": calls}


def in_a_list(item: bytes, size: int = EVENT_BYTES_MAX) -> bytes:
    """Return data of `size` bytes: a map of one list, full of an item."""
    count = (size - 8) // len(item)
    return b"\x81\xa1a\xdd" + count.to_bytes(4, "big") + item * count


NESTED = {
    "lists, 100,000 deep": b"\x81\xa1a" + b"\x91" * 100_000 + b"\xc0",
    "maps, 100,000 deep": b"\x81\xa1a" * 100_000 + b"\xc0",
    "maps as keys": b"\x81" * 100_000,
    "lists, 10,000 deep, in a small event": b"\x81\xa1a" + b"\x91" * 10_000,
}
LIES = {
    f"{name} of {size:#x}": b"\x81\xa1a" + first + size.to_bytes(width, "big")
    for name, first, width in [
        ("list", b"\xdd", 4), ("short list", b"\xdc", 2), ("map", b"\xdf", 4), ("short map", b"\xde", 2), ("text", b"\xdb", 4),
        ("short text", b"\xda", 2), ("bytes", b"\xc6", 4), ("extension", b"\xc9", 4), ("short extension", b"\xc8", 2),
    ]
    for size in (2 ** (8 * width) - 1, 2 ** (8 * width - 1), 2 ** (8 * width - 2), 2 ** (4 * width))
}  # fmt: skip
WRONG = {
    "invalid UTF-8": b"\x81\xa1a\xa4\xf0\x28\x8c\x28",
    "half a character": b"\x81\xa1a\xa3\xed\xa0\x80",
    "invalid UTF-8 as a key": b"\x81\xa1\xff\x01",
    "a number as a key": b"\x81\x01\x01",
    "bytes as a key": b"\x81\xc4\x01a\x01",
    "nothing as a key": b"\x81\xc0\x01",
    "a map as a key": b"\x81\xa1a\x81\x80\x01",
    "a byte that means nothing": b"\x81\xa1a\xc1",
    "a moment that is none": b"\x81\xa1a\xd7\xff" + b"\xff" * 8,
    "no map": b"\x93\x01\x02\x03",
    "something behind": b"\x80\x80",
    "nothing": b"",
}
FULL = {
    f"a mebibyte of {name}": in_a_list(item)
    for name, item in {
        "empty maps": b"\x80", "empty lists": b"\x90", "empty maps, written long": b"\xdf\0\0\0\0",
        "empty lists, written long": b"\xdc\0\0", "maps of one": b"\x81\xa1a\x01", "extensions": b"\xd4\x05\x00",
        "empty extensions": b"\xc7\x00\x05", "moments": b"\xd6\xff\0\0\0\1", "lists in lists": b"\x91\x91\x91\x91\x01",
    }.items()
}  # fmt: skip
TAKEN = {
    "a mebibyte of nothing": in_a_list(b"\xc0"),
    "a mebibyte of numbers": in_a_list(b"\xcd\x12\x34"),
    "a mebibyte of huge numbers": in_a_list(b"\xcf" + b"\xff" * 8),
    "a mebibyte of what is no number": in_a_list(b"\xca\x7f\xc0\x00\x00"),
    "a mebibyte of short texts": in_a_list(b"\xa2ab"),
    "a mebibyte of short texts that look like maps": in_a_list("д".encode().rjust(3, b"\xa2")),
    "a mebibyte of empty texts, written long": in_a_list(b"\xda\0\0"),
    "a mebibyte of bytes that look like maps": in_a_list(b"\xc4\x20" + b"\x80" * 32),
    "a mebibyte of one key, again and again": b"\xdf" + (MEBI // 4).to_bytes(4, "big") + b"\xa1a\xc0" * (MEBI // 4),
    "the same key twice": b"\x82\xa1a\x01\xa1a\x02",
    "what is no number": b"\x81\xa1a\xcb\x7f\xf8\0\0\0\0\0\0",
    "as many maps as there may be": in_a_list(b"\x80", CONTAINERS_MAX + 6),
}
REFUSED = NESTED | LIES | WRONG | FULL


@pytest.mark.parametrize("packed", REFUSED.values(), ids=REFUSED)
def test_a_bomb_is_refused_before_it_goes_off(packed: bytes) -> None:
    hold_refused(lambda: unpack_data(packed), InvalidData)


@pytest.mark.parametrize("packed", TAKEN.values(), ids=TAKEN)
def test_what_is_taken_costs_in_proportion(packed: bytes) -> None:
    hold_in_proportion(lambda: unpack_data(packed), "data that is taken", DECODED_BYTES_MAX)


@pytest.mark.parametrize("packed", REFUSED.values(), ids=REFUSED)
def test_a_bomb_in_a_batch_is_a_gap_for_its_reader(packed: bytes) -> None:
    """The broker keeps it undecoded; a reader gets a gap in its place, and the event behind it."""
    block = (
        BLOCK_HEADER.pack(2, 3, 0)
        + b"\x91\xa1a"
        + bytes(4)
        + len(packed).to_bytes(4, "little")
        + b"\1\0\0\0"
        + packed
        + b"\x80"
    )
    raw = encode_batch(block, base=0, epoch=0, durable=0, stamp_ns=0, sender="", source_epoch=0, source_seq=0)
    found: list[event.Event | event.Gap] = []

    def read() -> None:
        found[:] = ReadBatch(raw).events()

    hold_in_proportion(read, "batches", REFUSED_BYTES_MAX + len(packed))
    gap, last = found
    assert isinstance(gap, event.Gap)
    assert gap.reason == "undecodable"
    assert isinstance(last, event.Event)


@pytest.mark.parametrize("packed", REFUSED.values(), ids=REFUSED)
def test_a_bomb_in_a_question_is_refused(packed: bytes) -> None:
    """A message holds a map of anything only in `Ask` and `Answer`."""
    for kind in (7, 40):
        body = b"\x93\x01\xa5stats" + packed if kind == 7 else b"\x92\x01" + packed
        hold_refused(lambda kind=kind, body=body: decode(kind, body), RemoteProtocolError)


@pytest.mark.parametrize(
    "patterns", [b"\xdd\xff\xff\xff\xff", b"\xdd\x00\x10\x00\x00" + b"\xa0" * MEBI, b"\xdc\x01\x01" + b"\xa1a" * 257]
)
def test_a_filter_of_very_many_patterns_is_refused(patterns: bytes) -> None:
    for place in range(len(msgspec.structs.fields(Filter)) - 1):
        body = b"\x94\x01" + bytes([0x91 + place]) + b"\x90" * place + patterns + b"\x91\xa6newest\x01"
        hold_refused(lambda body=body: decode(3, body), RemoteProtocolError)


def block_with_tags(tags: bytes, count: int) -> bytes:
    return BLOCK_HEADER.pack(count, len(tags), 0) + tags + bytes(6 * count)


@pytest.mark.parametrize(
    "block",
    [
        BLOCK_HEADER.pack(2**32 - 1, 0, 0),
        BLOCK_HEADER.pack(EVENTS_MAX, 2**32 - 1, 3),
        BLOCK_HEADER.pack(EVENTS_MAX + 1, 1, 0) + bytes(MEBI),
        BLOCK_HEADER.pack(1, 1, 0) + b"\x90" + b"\0\0\xff\xff\xff\xff",
        block_with_tags(b"\xdd\xff\xff\xff\xff", 1),
        block_with_tags(b"\xdd" + (MEBI - 9).to_bytes(4, "big") + b"\xa0" * (MEBI - 9), 1),
        block_with_tags(b"\xdd" + (MEBI // 3).to_bytes(4, "big") + b"\xa2ab" * (MEBI // 3), EVENTS_MAX),
        block_with_tags(b"\x91" * 100_000, 100),
        bytes(BLOCK_BYTES_MAX + 1),
    ],
    ids=["events", "tags", "many events", "data", "tag list", "empty tags", "short tags", "deep tags", "size"],
)
def test_a_block_that_lies_is_refused(block: bytes) -> None:
    hold_refused(lambda: check_published(block, 0, EVENT_BYTES_MAX), RemoteProtocolError, what="blocks", calls_max=100)


def test_a_frame_that_lies_is_refused_on_the_header_alone() -> None:
    def take() -> None:
        decoder = FrameDecoder()
        decoder.feed((FRAME_BYTES_MAX + 1).to_bytes(4, "little"))
        list(decoder.frames())

    hold_refused(take, FrameTooBig, what="frames", bytes_max=16 * 1024, calls_max=100)


def test_very_many_small_frames_cost_one_pass() -> None:
    """What is read is not moved for each frame: a mebibyte of the smallest ones is taken in proportion."""
    stream = encode_frame(65, b"") * 10_000
    decoder = FrameDecoder()
    decoder.feed(stream)

    def take() -> None:
        assert sum(1 for _ in decoder.frames()) == 10_000

    assert calls_of(take) < 10 * 10_000


# -- The configuration -----------------------------------------------------------------------------------------------


class Settings(msgspec.Struct, frozen=True):
    a: msgspec.UnsetType = msgspec.UNSET


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML = {
    "aliases of aliases": LAUGHS,
    "an alias of itself": "a: &a [*a]",
    "a merge of merges": "a: &a {x: 1}\nb: &b {<<: [" + "*a, " * 1000 + "]}",
    "20,000 brackets": "a: " + "[" * 20_000 + "]" * 20_000,
    "a mebibyte of brackets": "a: " + "[" * (MEBI - 3),
    "a mebibyte of braces": "{a: " * (MEBI // 4),
    "a mebibyte of lists": "- " * (MEBI // 2),
    "a mebibyte of questions": "? " * (MEBI // 2),
    "a mebibyte of nothing": "-\n" * (MEBI // 2),
    "the same key again and again": "a: 1\n" * 1000,
    "a number of 10,000 digits": "a: " + "9" * 10_000,
    "a tag that constructs": "a: !!python/object/apply:os.getcwd []",
    "invalid UTF-8": b"a: \xc3\x28",
    "a NUL": b"a: \0",
}


@pytest.mark.parametrize("content", YAML.values(), ids=YAML)
def test_a_bomb_in_the_configuration_is_refused(content: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "sylvite.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    hold_refused(
        lambda: read_config(path, Settings), InvalidSetting,
        what="configuration", bytes_max=8 * MEBI, calls_max=2 * CALLS_MAX,
    )  # fmt: skip


# -- Negative controls -------------------------------------------------------------------------------------------------


def test_without_counting_empty_maps_go_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the count taken out, a mebibyte of empty maps is decoded, for more than 72 times its size."""

    def believe(packed: bytes) -> bool:
        del packed
        return False

    monkeypatch.setattr(event, "is_costly", believe)
    packed = in_a_list(b"\x80", 256 * 1024)
    assert Cost(lambda: unpack_data(packed), InvalidData).peak > 72 * len(packed)
    with control("D-02", without="counting maps and lists in data"):
        test_a_bomb_is_refused_before_it_goes_off(in_a_list(b"\x80", 64 * 1024))


def test_without_counting_a_question_goes_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def believe(body: bytes) -> bool:
        del body
        return False

    monkeypatch.setattr("sylvite.wire.messages.is_costly", believe)
    with control("D-02", without="counting maps and lists in messages"):
        test_a_bomb_in_a_question_is_refused(in_a_list(b"\x80", 64 * 1024))


def test_without_counting_tags_go_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the count taken out, the tags of a block are made, though it has one event."""

    def believe(raw: bytes, position: int) -> int:
        del raw, position
        return 0

    block = block_with_tags(b"\xdd" + (MEBI - 9).to_bytes(4, "big") + b"\xa0" * (MEBI - 9), 1)
    monkeypatch.setattr("sylvite.core.block._count_tags", believe)
    with control("D-02", without="counting tags"):
        hold_in_proportion(lambda: read_block(block), "blocks")


def test_without_the_check_brackets_exhaust_the_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the check of depth taken out, the reader of the configuration ends in a RecursionError."""

    def believe(events: object, where: str) -> None:
        del events, where

    monkeypatch.setattr("sylvite.config._check_events", believe)
    with control("D-02", without="the check of depth in configurations", by=RecursionError):
        test_a_bomb_in_the_configuration_is_refused("a: " + "[" * 3000 + "]" * 3000, tmp_path)
