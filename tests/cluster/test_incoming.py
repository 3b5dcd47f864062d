"""Which messages of the stream are taken: what follows, not what was, nor what stands behind a hole; and what is lost is told."""

from __future__ import annotations

import pytest

from sylvite.cluster import carried
from sylvite.cluster.carried import NOWHERE, Carried, Forged, Place
from sylvite.cluster.incoming import Incoming, Lost, Verdict
from sylvite.cluster.outgoing import WINDOW_MESSAGES, Outgoing
from sylvite.core.batch import Batch, Passage, encode_batch
from sylvite.core.block import BlockBuilder
from sylvite.core.event import pack_data
from sylvite.eventlog.checksum import sealed
from sylvite.eventlog.origins import Mark


def batch(
    base: int, epoch: int = 1, *, count: int = 1, passage: Passage | None = None, cause: int | None = None
) -> Batch:
    builder = BlockBuilder()
    for number in range(count):
        builder.add("a/b", pack_data({"number": base + number}), cause, 1 if cause is not None else 0)
    raw = encode_batch(
        builder.take()[0], base=base, epoch=epoch, durable=0, stamp_ns=5, sender="uid:0", source_epoch=7,
        source_seq=base, passage=passage,
    )  # fmt: skip
    return Batch(sealed(raw))


def message(before: Place, base: int, epoch: int = 1, node: str = "mars") -> Carried:
    return Carried(node, before, batch(base, epoch))


def judge(incoming: Incoming, each: Carried, *, is_old: bool = False) -> Verdict:
    verdict = incoming.judge(each, 0.0, is_old=is_old)
    if verdict is Verdict.TAKE:
        incoming.took(each)
    return verdict


def test_what_follows_is_taken_and_what_was_is_not() -> None:
    incoming = Incoming("venus")
    chain = [message(NOWHERE, 0), message(Place(1, 1), 1), message(Place(1, 2), 5)]
    assert [judge(incoming, each) for each in chain] == [Verdict.TAKE] * 3
    assert [judge(incoming, each) for each in chain] == [Verdict.AGAIN] * 3
    assert judge(incoming, message(NOWHERE, 0, node="venus")) is Verdict.OWN


def test_what_stands_behind_a_hole_is_not_taken_until_the_hole_is_filled() -> None:
    incoming = Incoming("venus", [Mark("mars", 1, 4)])
    ahead = message(Place(1, 5), 5)
    assert judge(incoming, ahead) is Verdict.AHEAD
    assert incoming.holes["mars"].offset == 4
    assert judge(incoming, message(Place(1, 4), 4)) is Verdict.TAKE
    assert not incoming.holes
    assert judge(incoming, ahead) is Verdict.TAKE


def test_a_first_message_that_is_lost_is_missed_too() -> None:
    incoming = Incoming("venus")
    assert judge(incoming, message(Place(1, 1), 1)) is Verdict.AHEAD
    assert judge(incoming, message(NOWHERE, 0)) is Verdict.TAKE


def test_a_log_that_was_wiped_begins_anew() -> None:
    incoming = Incoming("venus", [Mark("mars", 1, 900)])
    assert judge(incoming, message(NOWHERE, 0, epoch=2)) is Verdict.TAKE
    assert judge(incoming, message(Place(2, 1), 1, epoch=2)) is Verdict.TAKE
    assert not incoming.lost


def test_a_log_that_was_restored_says_again_what_was_and_goes_on() -> None:
    """From a copy of when it ended at 500: its cursor is older too, and its next start has another epoch."""
    incoming = Incoming("venus", [Mark("mars", 1, 700)])
    assert judge(incoming, message(Place(1, 480), 480)) is Verdict.AGAIN
    assert judge(incoming, message(Place(1, 500), 500, epoch=2)) is Verdict.TAKE


def test_what_the_stream_does_not_keep_any_more_is_told_once_and_counted() -> None:
    incoming = Incoming("venus", [Mark("mars", 1, 100)])
    incoming.stream_has_lost()
    assert judge(incoming, message(Place(1, 300), 300), is_old=True) is Verdict.TAKE
    assert incoming.lost == [Lost("mars", 100, 300, 200)]
    assert judge(incoming, message(Place(1, 400), 400), is_old=True) is Verdict.AHEAD


def test_a_hole_in_what_came_later_is_none_of_what_the_stream_has_lost() -> None:
    incoming = Incoming("venus", [Mark("mars", 1, 100)])
    incoming.stream_has_lost()
    assert judge(incoming, message(Place(1, 300), 300)) is Verdict.AHEAD


def test_an_origin_that_has_lost_some_of_its_log_says_so() -> None:
    incoming = Incoming("venus", [Mark("mars", 1, 100)])
    assert judge(incoming, message(NOWHERE, 150)) is Verdict.TAKE
    assert incoming.lost == [Lost("mars", 100, 150, 50)]


# -- What a message carries ----------------------------------------------------------------------------------------------


def test_what_is_carried_arrives_without_its_causes() -> None:
    found = carried.decode("mars", carried.encode("mars", Place(3, 4), batch(9, 8, count=2, cause=5)))
    assert (found.before, found.place, found.batch.sender) == (Place(3, 4), Place(8, 11), "uid:0")
    assert [found.batch.link(row) for row in range(2)] == [(None, 1), (None, 1)]


@pytest.mark.parametrize("node", ["venus", "mar", "marss", ""])
def test_a_message_under_another_name_is_forged(node: str) -> None:
    with pytest.raises(Forged):
        carried.decode(node, carried.encode("mars", NOWHERE, batch(0)))


def test_a_message_that_is_changed_anywhere_in_its_batch_is_forged() -> None:
    whole = carried.encode("mars", NOWHERE, batch(0))
    for at in (*range(4), *range(20, len(whole))):
        changed = bytearray(whole)
        changed[at] ^= 1
        with pytest.raises(Forged):
            carried.decode("mars", bytes(changed))
    for size in range(len(whole)):
        with pytest.raises(Forged):
            carried.decode("mars", whole[:size])


def test_what_has_come_from_others_is_not_carried_on() -> None:
    came = batch(0, passage=Passage(epoch=4, until=1, stream=1, number=1))
    with pytest.raises(Forged):
        carried.decode("mars", carried.encode("mars", NOWHERE, came))
    out = Outgoing("mars", NOWHERE, 0, 1)
    assert out.take(came) is None
    assert out.until == 1


# -- The window ----------------------------------------------------------------------------------------------------------


def test_the_cursor_moves_to_the_first_that_is_not_confirmed() -> None:
    out = Outgoing("mars", NOWHERE, 0, 1)
    sent = [out.take(batch(number)) for number in range(3)]
    assert all(sent)
    numbers = [each.number for each in sent if each is not None]
    assert not out.confirm(numbers[1])
    assert out.until == 0
    assert out.confirm(numbers[0])
    assert (out.until, out.place) == (2, Place(1, 2))


def test_all_that_is_not_confirmed_is_sent_again_under_other_names() -> None:
    out = Outgoing("mars", NOWHERE, 0, 1)
    sent = [each for number in range(3) if (each := out.take(batch(number))) is not None]
    out.confirm(sent[1].number)
    again = out.again(2)
    assert [each.data for each in again] == [each.data for each in sent]
    assert not {each.id for each in again} & {each.id for each in sent}
    assert not out.is_of_run(sent[2].number)
    assert not out.confirm(sent[0].number)
    assert [out.confirm(each.number) for each in again] == [True] * 3
    assert out.is_empty


def test_the_window_is_bounded() -> None:
    out = Outgoing("mars", NOWHERE, 0, 1)
    count = 0
    while out.has_room():
        out.take(batch(count))
        count += 1
    assert count == WINDOW_MESSAGES
