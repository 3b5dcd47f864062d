"""Who reads as a group, and which part is whose."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sylvite.cluster.roster import SILENT_S, Member, Reads, Roster, decode, encode, share

NODES = st.sampled_from(["mars", "venus", "pluto", "earth", "io"])
MEMBERS = st.lists(
    st.builds(Member, st.integers(0, 9), st.text("0123456789abcdef", min_size=4, max_size=4), NODES),
    max_size=7,
    unique_by=lambda member: member.session,
).map(sorted)


@given(members=MEMBERS, parts=st.sets(NODES))
def test_each_part_is_for_one_and_none_has_two_more_than_another(members: list[Member], parts: set[str]) -> None:
    shares = share(members, parts)
    assert set(shares) == (parts if members else set())
    counts = Counter(shares.values())
    many = [counts[member.session] for member in members]
    assert not many or max(many) - min(many) <= 1


@given(parts=st.sets(NODES, min_size=1), more=st.integers(0, 3))
def test_who_is_at_home_there_has_it(parts: set[str], more: int) -> None:
    """With one member on each master, and further ones that came later, everybody reads what comes from its own."""
    members = [Member(1, f"at-{node}", node) for node in sorted(parts)]
    members += [Member(2, f"more-{number}", min(parts)) for number in range(more)]
    assert share(members, parts) == {node: f"at-{node}" for node in parts}


def test_it_is_the_same_in_whatever_order_they_are_heard() -> None:
    others = [Member(3, "c", "mars"), Member(1, "a", "venus"), Member(2, "b", "venus")]
    for order in (others, others[::-1]):
        roster = Roster("g", Member(4, "d", "mars"))
        for member in order:
            roster.hear(member.node, Reads("g", member.session, member.since_ns), 0.0)
        assert [member.session for member in roster.members(0.0)] == ["a", "b", "c", "d"]


def test_who_says_nothing_or_leaves_is_not_there() -> None:
    roster = Roster("g", Member(1, "us", "mars"))
    word = Reads("g", "other", 2)
    assert roster.hear("venus", word, 0.0)
    assert not roster.hear("venus", word, SILENT_S - 1)
    assert len(roster.members(2 * SILENT_S - 2)) == 2
    assert len(roster.members(2 * SILENT_S)) == 1
    assert roster.hear("venus", word, 2 * SILENT_S), "it is back"
    assert not roster.hear("venus", Reads("g", "other", 2, leaving=True), 2 * SILENT_S)
    assert len(roster.members(2 * SILENT_S)) == 1


def test_other_groups_and_other_words_are_none_of_ours() -> None:
    roster = Roster("g", Member(1, "us", "mars"))
    assert not roster.hear("venus", Reads("h", "other", 2), 0.0)
    assert not roster.hear("mars", Reads("g", "us", 1), 0.0)
    assert decode(encode(Reads("g", "us", 1))) == Reads("g", "us", 1)
    assert decode(b"\xc1") is None
    assert decode(b"\x93\x01") is None
