"""Records of keys: however they come together, the same comes of them, and what takes rights away is not lost."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.auth.shared_keys import (
    Bar,
    Decision,
    Former,
    Prepared,
    Record,
    State,
    Successor,
    conflict,
    decided,
    decode,
    effective,
    encode,
    join,
)

PUBLICS = st.sampled_from([bytes([number]) * 32 for number in range(1, 4)])
SMALL = st.integers(0, 3)
SUCCESSORS = st.none() | st.builds(Successor, public=PUBLICS, made_ns=SMALL)
TOKENS = st.none() | st.builds(Prepared, mac=st.just(b"m" * 32), made_ns=SMALL, until_ns=SMALL)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    states: list[State] = ["", "accepted", "rejected", "revoked"]
    state = draw(st.sampled_from(states))
    return Decision(
        draw(SMALL),
        draw(st.sampled_from(["mars", "venus"])),
        state,
        draw(PUBLICS) if state else b"",
        draw(SMALL),
        draw(SMALL),
        draw(SMALL),
        tuple(draw(st.lists(st.builds(Former, public=PUBLICS, until_ns=SMALL), max_size=2))),
        draw(SUCCESSORS),
        draw(st.sampled_from(["", "aa:bb"])),
        draw(TOKENS),
    )


BARS = st.lists(
    st.builds(Bar, fingerprint=st.sampled_from(["a", "b"]), epoch=SMALL, at_ns=SMALL),
    max_size=2,
    unique_by=lambda bar: bar.fingerprint,
).map(lambda bars: tuple(sorted(bars)))
RECORDS = st.builds(Record, decision=decisions(), bars=BARS)


@given(one=RECORDS, other=RECORDS, third=RECORDS)
def test_records_come_together_in_any_order_and_any_number_of_times(one: Record, other: Record, third: Record) -> None:
    assert join(one, other) == join(other, one)
    assert join(join(one, other), third) == join(one, join(other, third))
    assert join(one, one) == one
    assert join(join(one, other), one) == join(one, other)


@given(record=RECORDS)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert decode(encode(record)) == record


@given(record=RECORDS, decision=decisions())
def test_who_decides_is_followed(record: Record, decision: Decision) -> None:
    """By all who knew no more than he did, where he has not gone back in epochs."""
    decision = msgspec.structs.replace(decision, epoch=max(decision.epoch, record.decision.epoch))
    after = decided(record, decision, "mars")
    assert join(record, after) == after
    assert after.decision.same_as(decision)


@given(one=RECORDS, other=RECORDS)
def test_what_is_barred_by_either_stays_barred(one: Record, other: Record) -> None:
    joined = join(one, other)
    assert {bar.fingerprint for bar in joined.bars} == {bar.fingerprint for bar in (*one.bars, *other.bars)}
    assert effective(joined, "a").state not in ("accepted", "rejected") or "a" not in {
        bar.fingerprint for bar in joined.bars
    }


def accepted(public: int, *, version: int = 5, epoch: int = 1, changed_ns: int = 0, node: str = "mars") -> Decision:
    return Decision(version, node, "accepted", bytes([public]) * 32, epoch, 0, changed_ns)


@dataclass
class Case:
    one: Decision
    other: Decision
    """It counts."""


@pytest.mark.parametrize(
    "case",
    [
        Case(accepted(1), accepted(1, version=6)),
        Case(accepted(1), msgspec.structs.replace(accepted(1), state="rejected")),
        Case(accepted(1), Decision(5, "venus", "", b"", 1, 0, 0)),
        Case(accepted(1, version=90), Decision(6, "venus", "", b"", 2, 0, 0)),
        Case(accepted(1, version=90), accepted(2, version=3, epoch=3)),
        Case(accepted(1, changed_ns=20), accepted(2, changed_ns=10)),
        Case(msgspec.structs.replace(accepted(1), token=Prepared(b"m", 1, 2)), accepted(1)),
    ],
    ids=["later", "rejected", "deleted", "deleted by who knew less", "of a later epoch", "earlier", "token used"],
)
def test_of_two_decisions_one_counts_everywhere(case: Case) -> None:
    found = join(Record(case.one), Record(case.other))
    assert found.decision == case.other
    assert join(Record(case.other), Record(case.one)) == found


def test_an_acceptance_that_is_lost_is_a_conflict() -> None:
    """But not one that was taken back, or was followed by another key."""
    first, second = accepted(1, changed_ns=1), accepted(2, changed_ns=2)
    found = conflict(second, first)
    assert found is not None
    assert (found.lost, found.won) == (second, first)
    assert conflict(first, first) is None
    assert conflict(first, accepted(2, epoch=3)) is None
    assert conflict(first, msgspec.structs.replace(second, formers=(Former(first.public, 9),))) is None
    assert conflict(first, Decision(6, "mars", "", b"", 2, 0, 0)) is None


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\x90",
        msgspec.msgpack.encode(Record(Decision(2**53, "mars", "", b"", 0, 0, 0))),
        msgspec.msgpack.encode(Record(Decision(1, "mars", "accepted", b"short", 0, 0, 0))),
        msgspec.msgpack.encode(Record(Decision(1, "mars", "", b"k" * 32, 0, 0, 0))),
        msgspec.msgpack.encode(Record(accepted(1), (Bar("a", -1, 0),))),
        msgspec.msgpack.encode(Record(msgspec.structs.replace(accepted(1), successor=Successor(b"", 0)))),
        msgspec.msgpack.encode([[1, "mars", "unheard of", b"", 0, 0, 0], []]),
    ],
)
def test_what_is_no_record_is_refused(record: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        decode(record)
