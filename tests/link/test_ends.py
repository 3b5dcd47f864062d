"""The two ends of the link: who is let in, and that what goes up arrives once and in order, wherever it is cut."""

from __future__ import annotations

from collections import deque

import pytest

from sylvite.auth.enrolment import Asking
from sylvite.auth.keys import make_pair
from sylvite.core.batch import HEADER, Batch, Passage, encode_batch
from sylvite.core.event import Event, pack_data
from sylvite.errors import ConnectionLost, RemoteProtocolError
from sylvite.link.messages import Challenge, Down, Prove, Taken, Up, Verdict, encode
from sylvite.link.minion_session import PLACES, Arrived, Judgement, MinionSession
from sylvite.link.uplink import WINDOW_BYTES, Load
from sylvite.wire.messages import Message, Ping
from tests.link.ends import JID, MASTER, MINION, NONCE, NOW_S, Ends, let_in, load


def events_of(arrived: Arrived) -> list[Event]:
    """Return the events of the blocks, as the broker would store them."""
    found: list[Event] = []
    for block in arrived.blocks:
        batch = encode_batch(
            block.packed,
            base=0,
            epoch=1,
            durable=0,
            stamp_ns=0,
            sender="minion:alpha",
            source_epoch=7,
            source_seq=block.seq,
        )
        found += [item for item in Batch(batch).events() if isinstance(item, Event)]
    assert HEADER.size
    return found


# -- Who is let in -----------------------------------------------------------------------------------------------------


def test_a_minion_shows_its_key_and_is_let_in() -> None:
    asked: list[Asking] = []

    def judge(asking: Asking) -> Judgement:
        asked.append(asking)
        return let_in(asking)

    ends = Ends(judge)
    ends.exchange()
    assert ends.uplink.is_up
    assert [(asking.id, asking.public) for asking in asked] == [("alpha", MINION.public)]
    assert ends.session.identity is not None
    assert ends.session.identity.id == "alpha"


def test_one_that_waits_is_told_and_the_connection_ends() -> None:
    ends = Ends(lambda _: Judgement(Verdict("pending", retry_s=10.0)))
    ends.exchange()
    assert not ends.uplink.is_up
    assert ends.session.closed
    assert ends.session.identity is None


def test_a_proof_for_another_master_shows_nothing() -> None:
    """A false master that passes on the challenge of the true one gets a signature that the true one does not take."""
    ends = Ends()
    ends.uplink.connect(make_pair().fingerprint)
    with pytest.raises(RemoteProtocolError, match="has shown nothing"):
        ends.exchange()
    assert ends.session.identity is None


def test_a_proof_is_good_for_one_connection() -> None:
    ends = Ends()
    ends.uplink.feed(b"".join(ends.session.take_bytes()))
    proof = b"".join(ends.uplink.take_bytes())
    other = MinionSession("master", MASTER.fingerprint, bytes(32), let_in, lambda _, __: True)
    with pytest.raises(RemoteProtocolError, match="has shown nothing"):
        other.feed(proof, NOW_S)
    ends.session.feed(proof, NOW_S)
    with pytest.raises(RemoteProtocolError, match="not allowed"):
        ends.session.feed(proof, NOW_S)


@pytest.mark.parametrize("message", [Up(1, [(0, pack_data({"tag": "a", "data": {}}))]), Ping(1)])
def test_nothing_arrives_before_the_proof(message: Message) -> None:
    ends = Ends()
    with pytest.raises(RemoteProtocolError):
        ends.session.feed(encode(message), NOW_S)
    assert not ends.session.arrived


@pytest.mark.parametrize("message", [Taken(5, 1), Down("salt/job/1/publish", b"\x80")])
def test_a_master_that_has_not_let_anybody_in_says_nothing_else(message: Message) -> None:
    ends = Ends()
    with pytest.raises(RemoteProtocolError):
        ends.uplink.feed(encode(Challenge(1, "m", NONCE)) + encode(message))


def test_another_version_is_not_spoken() -> None:
    ends = Ends()
    with pytest.raises(RemoteProtocolError, match="version 2"):
        ends.uplink.feed(encode(Challenge(2, "m", NONCE)))
    with pytest.raises(RemoteProtocolError, match="version 2"):
        ends.session.feed(encode(Prove(2, b"")), NOW_S)


# -- Up ----------------------------------------------------------------------------------------------------------------


def test_what_is_offered_arrives_in_order_and_is_done_once_it_is_taken() -> None:
    ends = Ends()
    for offset in range(10):
        ends.uplink.offer(load(offset))
    ends.exchange(answer=False)
    assert [seq for _, seq in ends.stored] == [offset * PLACES for offset in range(10)]
    assert ends.uplink.done is None
    ends.session.taken(Arrived(0, 5, 6, [], []))
    ends.exchange()
    assert ends.uplink.done == load(6)


def test_what_was_not_taken_is_said_again_and_kept_once() -> None:
    ends = Ends()
    for offset in range(5):
        ends.uplink.offer(load(offset))
    ends.exchange(answer=False)
    ends.uplink.lost()
    ends.connect()
    ends.uplink.offer(load(7))
    ends.exchange()
    assert [seq // PLACES for _, seq in ends.stored] == [0, 1, 2, 3, 4, 7]
    assert ends.uplink.done == load(7)


def test_a_cut_at_any_byte_loses_nothing_and_repeats_nothing() -> None:
    whole = Ends()
    for offset in range(4):
        whole.uplink.offer(load(offset))
    whole.uplink.feed(b"".join(whole.session.take_bytes()))
    whole.session.feed(b"".join(whole.uplink.take_bytes()), NOW_S)
    whole.uplink.feed(b"".join(whole.session.take_bytes()))
    up = b"".join(whole.uplink.take_bytes())
    for cut in range(len(up) + 1):
        ends = Ends()
        for offset in range(4):
            ends.uplink.offer(load(offset))
        ends.uplink.feed(b"".join(ends.session.take_bytes()))
        ends.session.feed(b"".join(ends.uplink.take_bytes()), NOW_S)
        ends.uplink.feed(b"".join(ends.session.take_bytes()))
        ends.session.feed(b"".join(ends.uplink.take_bytes())[:cut], NOW_S)
        while ends.session.arrived:
            ends.keep(ends.session.arrived.popleft())
        ends.uplink.lost()
        ends.connect()
        ends.exchange()
        assert [seq // PLACES for _, seq in ends.stored] == [0, 1, 2, 3, 4][:4]
        assert ends.uplink.done == load(3)


def test_the_window_bounds_what_is_on_its_way() -> None:
    ends = Ends()
    packed = pack_data({"tag": "a", "data": {"pad": "x" * 100_000}})
    offset = 0
    while ends.uplink.has_room():
        ends.uplink.offer(Load(5, offset, packed))
        offset += 1
    assert WINDOW_BYTES / 100_000 <= offset <= WINDOW_BYTES / 100_000 + 2
    ends.exchange()
    assert ends.uplink.has_room()
    assert len(ends.stored) == offset


def test_an_outbox_that_was_wiped_is_another_source() -> None:
    ends = Ends()
    ends.uplink.offer(load(3, epoch=5))
    ends.uplink.offer(load(3, epoch=6))
    ends.exchange()
    assert len({source for source, _ in ends.stored}) == 2
    assert ends.uplink.done == load(3, epoch=6)


def test_one_answer_is_for_all_that_came_before_also_of_earlier_epochs() -> None:
    """A minion that was restarted while its master was away: what it has is of two epochs, and is answered at once."""
    ends = Ends()
    loads = [load(0, epoch=5), load(1, epoch=5), load(2, epoch=6), load(3, epoch=6), load(4, epoch=7)]
    for each in loads:
        ends.uplink.offer(each)
    ends.exchange(answer=False)
    for next_, epoch, done in (
        (1, 5, loads[0]),
        (3, 6, loads[2]),
        (1, 5, loads[2]),
        (4, 6, loads[3]),
        (5, 7, loads[4]),
    ):
        ends.session.taken(Arrived(0, epoch, next_ - 1, [], []))
        ends.exchange()
        assert ends.uplink.done == done


def passages_of(ends: Ends) -> list[Passage | None]:
    """Let the minion speak; return what the blocks that arrive say of its order."""
    ends.session.feed(b"".join(ends.uplink.take_bytes()), NOW_S)
    arrived, ends.session.arrived = list(ends.session.arrived), deque()
    for each in arrived:
        ends.session.taken(each)
    ends.uplink.feed(b"".join(ends.session.take_bytes()))
    return [block.passage for each in arrived for block in each.blocks]


def test_each_block_says_from_where_on_there_is_nothing_else() -> None:
    """So a master that gets 9 of a minion which has said 3 to another one knows that something is before it, or nothing."""
    ends = Ends()
    ends.exchange()
    for offset in (3, 7):
        ends.uplink.offer(load(offset))
    assert passages_of(ends) == [Passage(3 * PLACES, 4 * PLACES), Passage(4 * PLACES, 8 * PLACES)]
    ends.uplink.lost()
    ends.connect()
    ends.exchange()
    ends.uplink.offer(load(9))
    assert passages_of(ends) == [Passage(8 * PLACES, 10 * PLACES)]


def test_a_load_of_several_blocks_says_it_of_each() -> None:
    ends = Ends()
    ends.exchange()
    events = [{"tag": "a", "data": {"pad": "x" * 100_000}} for _ in range(3)]
    ends.uplink.offer(Load(5, 2, pack_data({"events": events, "pretag": None})))
    first, second, third = passages_of(ends)
    assert first is not None
    assert second is not None
    assert third is not None
    assert [first.first, second.first, third.first] == [2 * PLACES, first.next, second.next]
    assert third.next == 3 * PLACES
    assert (first.next, second.next) == (2 * PLACES + 1, 2 * PLACES + 2)


def test_an_offset_that_goes_back_is_no_minions() -> None:
    ends = Ends()
    ends.exchange()
    packed = pack_data({"tag": "a", "data": {}})
    with pytest.raises(RemoteProtocolError, match="out of its order"):
        ends.session.feed(encode(Up(5, [(1, packed), (1, packed)])), NOW_S)


def test_what_may_not_be_written_is_refused_and_taken_all_the_same() -> None:
    """Else it would be said again for ever."""
    ends = Ends()
    ends.uplink.offer(load(0, "salt/key"))
    ends.uplink.offer(Load(5, 1, b"\xc1"))
    ends.uplink.offer(Load(5, 2, pack_data({"tag": "a", "data": {"pad": "x" * (1024 * 1024 - 30)}})))
    ends.exchange()
    assert ends.stored == []
    assert len(ends.refusals) == 3
    assert ends.uplink.done is not None
    assert ends.uplink.done.offset == 2


def test_a_list_becomes_blocks_of_a_size_each_with_its_places() -> None:
    ends = Ends()
    ends.exchange()
    entries = [{"tag": f"t/{number}", "data": {"pad": "x" * 900}} for number in range(1000)]
    ends.session.feed(encode(Up(5, [(9, pack_data({"events": entries, "pretag": "p"}))])), NOW_S)
    (arrived,) = ends.session.arrived
    assert len(arrived.blocks) > 10
    events = events_of(arrived)
    assert [event.source_seq for event in events] == list(range(9 * PLACES, 9 * PLACES + 2000))
    assert [event.tag for event in events[:3]] == ["p/t/0", "t/0", "p/t/1"]


# -- Down --------------------------------------------------------------------------------------------------------------


def test_a_job_goes_down_to_one_that_was_let_in() -> None:
    ends = Ends()
    ends.session.send_down(f"salt/job/{JID}/publish", b"\x80")
    ends.exchange()
    assert not ends.uplink.downs
    ends.session.send_down(f"salt/job/{JID}/publish", b"\x80")
    ends.exchange()
    assert ends.uplink.downs.popleft() == Down(f"salt/job/{JID}/publish", b"\x80")


def test_a_session_that_is_closed_takes_nothing_any_more() -> None:
    """Revoked: the minion hears it, and what is on its way counts for nothing."""
    ends = Ends()
    ends.exchange()
    ends.session.close("the key was revoked")
    with pytest.raises(RemoteProtocolError):
        ends.session.feed(encode(Up(5, [(0, pack_data({"tag": "a", "data": {}}))])), NOW_S)
    with pytest.raises(ConnectionLost, match="the key was revoked"):
        ends.uplink.feed(b"".join(ends.session.take_bytes()))
