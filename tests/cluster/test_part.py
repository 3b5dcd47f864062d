"""What a member hands out of one master's log: all of it, in its order, once; and after a takeover what was not acknowledged again."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.cluster.carried import NOWHERE, Carried, Place
from sylvite.cluster.incoming import Hole, Lost
from sylvite.cluster.part import EVENTS_MAX, MARKS_MAX, Handed, Part, Position
from sylvite.cluster.stream import StreamState
from sylvite.core.batch import Batch, encode_batch
from sylvite.core.block import BlockBuilder
from sylvite.core.event import Event, pack_data
from sylvite.eventlog.checksum import sealed

STREAM = 5
NEW = Position()
Wants = Callable[[Event], bool]


def batch(base: int, epoch: int, count: int, stamp_ns: int = 0, packed: bytes | None = None) -> Batch:
    builder = BlockBuilder()
    for number in range(count):
        builder.add(f"t/{(base + number) % 3}", packed or pack_data({"number": base + number}))
    raw = encode_batch(
        builder.take()[0], base=base, epoch=epoch, durable=0, stamp_ns=stamp_ns or base + 1, sender="uid:0",
        source_epoch=7, source_seq=base,
    )  # fmt: skip
    return Batch(sealed(raw))


def chain(*spans: tuple[int, int], base: int = 0, before: Place = NOWHERE) -> list[Carried]:
    """Return the messages of a master whose batches are (epoch, count)."""
    found: list[Carried] = []
    for epoch, count in spans:
        found.append(Carried("mars", before, batch(base, epoch, count)))
        base, before = base + count + 1, found[-1].place  # One event of another master lies between.
    return found


def wants_all(event: Event) -> bool:
    return bool(event.tag)


def part(
    position: Position = NEW,
    offered: int = 0,
    *,
    last: int = 1000,
    first: int = 1,
    wants: Wants = wants_all,
    gives_up: bool = False,
) -> Part:
    return Part("mars", position, offered, StreamState(STREAM, first, last), wants, gives_up=gives_up)


def out(reader: Part) -> Handed:
    handed = reader.hand_out()
    assert handed is not None
    return handed


def numbers(handed: Handed) -> list[int]:
    return [event.data["number"] for event in handed.events]


@given(
    spans=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=12), seed=st.integers(0, 2**32)
)
def test_all_is_handed_out_in_order_whoever_is_killed_and_whatever_is_sent_again(
    spans: list[tuple[int, int]], seed: int
) -> None:
    """Messages are lost and sent again, members die before they acknowledge, others take over; some give back in order."""
    rng = random.Random(seed)
    log = chain(*((1 + sum(step for step, _ in spans[: at + 1]), count) for at, (_, count) in enumerate(spans)))
    stream = _sent(log, rng)
    position, offered = Position(), 0
    done: list[int] = []
    open_: set[int] = set()
    while position.place != log[-1].place:
        reader = part(position, offered, last=rng.randint(offered, len(stream)))
        while reader.number < len(stream):
            for number in range(reader.number + 1, min(len(stream), reader.number + rng.randrange(1, 5)) + 1):
                reader.take(number, stream[number - 1], 0.0)
            while (handed := reader.hand_out()) is not None:
                offered = max(offered, handed.position.number)
                again = open_ & set(numbers(handed))
                assert not again or handed.redelivered
                if rng.random() < 0.3:
                    open_ |= set(numbers(handed))
                    break
                assert handed.before == position
                done += numbers(handed)
                position, offered = handed.position, reader.number
            else:
                continue
            break
        else:
            offered = position.number  # It gives the part back.
            open_.clear()
    assert done == [event for each in log for event in range(each.batch.base, each.batch.next)]


def _sent(log: list[Carried], rng: random.Random) -> list[Carried]:
    """Return what the stream has of it: in the end all, each behind what is before it, but also behind holes, and again."""
    stream: list[Carried] = []
    at, lost = 0, len(log)
    while at < len(log) or lost < len(log):
        if lost < len(log) and (at == len(log) or rng.random() < 0.3):
            at, lost = lost, len(log)
        elif rng.random() < 0.1:
            at = rng.randrange(at + 1)
        elif rng.random() < 0.2:
            lost = min(lost, at)
            at += 1
        else:
            stream.append(log[at])
            at += 1
    return stream


def test_events_are_as_all_other_masters_have_them() -> None:
    reader = part()
    reader.take(3, chain((9, 2))[0], 0.0)
    handed = out(reader)
    assert [(event.offset, event.epoch, event.sender) for event in handed.events] == [
        (0, 9, "uid:0@mars"),
        (1, 9, "uid:0@mars"),
    ]
    assert handed.position == Position((Place(9, 2),), 1, STREAM, 3)
    assert not handed.redelivered


def test_what_is_not_wanted_is_passed_over_and_done() -> None:
    first, second = chain((1, 3), (1, 2))
    reader = part(wants=lambda event: event.tag == "t/1" and event.offset < 2)
    reader.take(1, first, 0.0)
    assert numbers(out(reader)) == [1]
    reader.take(2, second, 0.0)
    handed = out(reader)
    assert handed.is_empty
    assert handed.position.place == Place(1, 6)
    assert reader.hand_out() is None


def test_so_many_are_handed_out_at_once_and_no_more() -> None:
    reader = part()
    for number, each in enumerate(chain(*[(1, 100)] * 20), 1):
        reader.take(number, each, 0.0)
    sizes: list[int] = []
    while (handed := reader.hand_out()) is not None:
        sizes.append(len(handed.events))
    assert sum(sizes) == 2000
    assert max(sizes) < EVENTS_MAX + 100


def test_what_the_stream_has_not_kept_is_waited_for_and_told_where_it_does_not_come() -> None:
    messages = chain(*[(1, 2)] * 5)
    position = Position((messages[0].place,), 1, STREAM, 1)
    reader = part(position, 1, first=4, last=5)
    reader.take(4, messages[3], 7.0)
    assert reader.hand_out() is None
    assert reader.hole == Hole(2, 7.0)
    for number, each in enumerate(messages[1:4], 6):
        reader.take(number, each, 8.0)
    assert numbers(out(reader)) == [3, 4, 6, 7, 9, 10]
    assert reader.hole is None
    reader = part(position, 1, first=4, last=5, gives_up=True)
    for number in (4, 5):
        reader.take(number, messages[number - 1], 0.0)
    handed = out(reader)
    assert numbers(handed) == [9, 10, 12, 13]
    assert handed.lost == (Lost("mars", 2, 9, 7),)


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=6), data=st.data())
def test_what_is_acknowledged_in_between_is_not_handed_out_again(sizes: list[int], data: st.DataObject) -> None:
    """Also in the middle of a message; and all that is behind that is."""
    log = chain(*((1 + at // 3, size) for at, size in enumerate(sizes)))
    reader = part()
    for number, each in enumerate(log, 1):
        reader.take(number, each, 0.0)
    handed = out(reader)
    at = data.draw(st.integers(0, len(handed.events) - 1))
    position = handed.behind(handed.events[at])
    other = part(position, len(log), last=len(log))
    for number in range(other.number + 1, len(log) + 1):
        other.take(number, log[number - 1], 0.0)
    again = other.hand_out()
    assert (numbers(again) if again is not None else []) == numbers(handed)[at + 1 :]
    if at == len(handed.events) - 1:
        assert position == handed.position


def test_what_a_master_wrote_before_a_time_is_not_wanted() -> None:
    """That of a master that came to the cluster with a history, where a group is to begin with what comes."""
    reader = part(Position(since_ns=100))
    reader.take(1, Carried("mars", NOWHERE, batch(0, 1, 2, stamp_ns=99)), 0.0)
    handed = out(reader)
    assert handed.is_empty
    assert handed.position.since_ns == 100
    reader.take(2, Carried("mars", Place(1, 2), batch(2, 1, 2, stamp_ns=100)), 0.0)
    assert numbers(out(reader)) == [2, 3]


def test_another_stream_is_read_from_its_beginning_and_what_is_done_is_passed_over() -> None:
    messages = chain((1, 2), (1, 2), (2, 2))
    position = Position((messages[1].place,), 4, STREAM - 1, 900)
    reader = part(position, 950, last=3)
    assert reader.number == 0
    for number, each in enumerate(messages, 1):
        reader.take(number, each, 0.0)
    handed = out(reader)
    assert numbers(handed) == [6, 7]
    assert handed.redelivered, "nobody knows how far it was handed out"


def test_a_log_that_was_wiped_is_read_from_its_beginning() -> None:
    position = Position((Place(1, 900),), 50, STREAM, 7)
    reader = part(position)
    reader.take(8, Carried("mars", NOWHERE, batch(0, 2, 2, stamp_ns=60)), 0.0)
    assert numbers(out(reader)) == [0, 1]


def test_what_is_sent_again_of_an_epoch_that_nobody_remembers_is_passed_over() -> None:
    position = Position((Place(4, 900),), 50, STREAM, 7)
    reader = part(position)
    reader.take(8, Carried("mars", NOWHERE, batch(0, 2, 2, stamp_ns=20)), 0.0)
    assert reader.hand_out() is None


def test_not_all_epochs_are_remembered() -> None:
    position, log = NEW, chain(*((epoch, 1) for epoch in range(1, MARKS_MAX + 10)))
    for each in log:
        position = position.behind(each, STREAM, 1)
    assert len(position.marks) == MARKS_MAX
    assert position.place == log[-1].place


def test_what_cannot_be_decoded_is_told_and_done() -> None:
    reader = part()
    reader.take(1, Carried("mars", NOWHERE, batch(0, 1, 1, packed=b"\xc1")), 0.0)
    handed = out(reader)
    assert not handed.is_empty
    assert [gap.reason for gap in handed.gaps] == ["undecodable"]


@pytest.mark.parametrize("last", [0, 2])
def test_a_stream_that_was_rolled_back_is_read_from_its_beginning(last: int) -> None:
    assert part(Position((Place(1, 9),), 1, STREAM, 3), last=last).number == 0
