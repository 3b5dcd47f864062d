"""What masters let each other know of their minions, and what of it counts."""

from __future__ import annotations

import msgspec
import pytest

from sylvite.cluster.minions import (
    ASLEEP_S,
    GRAINS,
    LEFT,
    LOST,
    PRESENCE,
    SILENT_S,
    SO_IT_IS,
    Others,
    Ours,
    encode_grains,
    encode_record,
)
from sylvite.cluster.shared import Entry
from sylvite.core.event import pack_data
from sylvite.jobs.minions import MinionRecord
from sylvite.jobs.others import Grains

NOW_NS = 10**18
WEB1 = MinionRecord("web1", 7, 5, None, "10.0.0.1", "")
AT_VENUS = msgspec.structs.replace(WEB1, grains_ns=None, master="venus")
GRAINS_OF_WEB1 = Grains(7, pack_data({"id": "web1", "os": "Debian"}))


@pytest.fixture
def others() -> Others:
    found = Others("mars", (), 0.0)
    found.take(PRESENCE, Entry("venus", "web1", encode_record(WEB1)))
    found.hear("venus", 0.0)
    return found


def wait(others: Others, from_s: float, to_s: float) -> None:
    while from_s < to_s:
        from_s += 1.0
        others.look(from_s)


def reasons(others: Others, now_s: float) -> list[str]:
    others.look(now_s)
    return [record.reason for record in others.records(NOW_NS)]


def test_what_another_master_says_is_written_once(others: Others) -> None:
    others.take(GRAINS, Entry("venus", "web1", encode_grains(GRAINS_OF_WEB1)))
    changes = others.take_changes(NOW_NS)
    assert changes == ([AT_VENUS], [(("venus", "web1"), GRAINS_OF_WEB1)], [])
    others.take(PRESENCE, Entry("venus", "web1", encode_record(WEB1)))
    others.take(GRAINS, Entry("venus", "web1", encode_grains(GRAINS_OF_WEB1)))
    assert not any(others.take_changes(NOW_NS))


def test_grains_wait_until_it_is_known_whose_they_are() -> None:
    others = Others("mars", (), 0.0)
    others.take(GRAINS, Entry("venus", "web1", encode_grains(GRAINS_OF_WEB1)))
    assert not any(others.take_changes(NOW_NS))
    others.take(PRESENCE, Entry("venus", "web1", encode_record(WEB1)))
    assert len(others.take_changes(NOW_NS).grains) == 1


@pytest.mark.parametrize(
    ("item", "value"),
    [
        ("web1", b""), ("web1", b"\xc1"), ("web1", b"\x93\x01\x02\x03"), ("web1", msgspec.msgpack.encode([1, 2, 3, 4])),
        ("web1", msgspec.msgpack.encode([2**63, None, "", ""])), ("web1", msgspec.msgpack.encode([1, None, "x" * 1025, ""])),
        ("../web1", encode_record(WEB1)), ("", encode_record(WEB1)), ("web1\x1b[2J", encode_record(WEB1)),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_left_out(item: str, value: bytes) -> None:
    others = Others("mars", (), 0.0)
    others.take(PRESENCE, Entry("venus", item, value))
    assert others.records(NOW_NS) == []
    assert not any(others.take_changes(NOW_NS))


@pytest.mark.parametrize(
    "packed", [b"", b"\xc1", pack_data({"id": "web2"}), pack_data({"id": "web1", "x": "x" * 2**18})]
)
def test_what_are_no_grains_of_this_minion_is_left_out(others: Others, packed: bytes) -> None:
    """One that cannot be read would keep all targets from being looked up."""
    others.take(GRAINS, Entry("venus", "web1", encode_grains(Grains(7, packed))))
    assert others.take_changes(NOW_NS).grains == []


def test_what_its_master_does_not_know_any_more_is_forgotten(others: Others) -> None:
    others.take(PRESENCE, Entry("venus", "db1", encode_record(WEB1)))
    others.take_changes(NOW_NS)
    others.take(PRESENCE, Entry("venus", "db1", None))
    assert others.take_changes(NOW_NS).gone == [("venus", "db1")]
    others.keep_only(set())
    assert others.take_changes(NOW_NS) == ([], [], [("venus", "web1")])


def test_what_was_written_before_counts_until_all_was_said() -> None:
    others = Others("mars", [msgspec.structs.replace(AT_VENUS, grains_ns=7)], 0.0)
    assert [record.id for record in others.records(NOW_NS)] == ["web1"]
    others.keep_only({("venus", "web2")})
    assert others.take_changes(NOW_NS).gone == [("venus", "web1")]


def test_nobody_is_with_a_master_that_is_silent_or_has_left(others: Others) -> None:
    wait(others, 0.0, SILENT_S)
    assert (reasons(others, SILENT_S), others.masters()) == ([""], ["venus"])
    others.take_changes(NOW_NS)
    later = SILENT_S + 1
    assert (reasons(others, later), others.masters()) == ([LOST.format("venus")], [])
    (left,) = others.take_changes(NOW_NS).records
    assert (left.is_present, left.left_ns) == (False, NOW_NS)
    assert not any(others.take_changes(NOW_NS + 1)), "it is not written again with each look"
    others.hear("venus", later)
    assert (reasons(others, later), others.masters()) == ([LOST.format("venus")], ["venus"]), "it may be of before"
    others.take(PRESENCE, Entry("venus", SO_IT_IS, b""))
    assert reasons(others, later) == [""]
    others.hear("venus", later, leaving=True)
    assert (reasons(others, later), others.has_left("venus")) == ([LEFT.format("venus")], True)


def test_who_was_stopped_or_cut_off_has_heard_nobody_and_gives_them_time(others: Others) -> None:
    others.look(1.0)
    assert reasons(others, 1.0 + 10 * ASLEEP_S) == [""]
    now_s = 1.0 + 10 * ASLEEP_S
    others.parted()
    wait(others, now_s, now_s + 2 * SILENT_S)
    now_s += 2 * SILENT_S
    assert reasons(others, now_s) == [LOST.format("venus")]
    others.connected(now_s)
    others.take(PRESENCE, Entry("venus", SO_IT_IS, b""))  # All that is there is read again.
    assert reasons(others, now_s) == [""]


def test_only_what_is_not_there_is_put() -> None:
    ours = Ours()
    assert (ours.differing([WEB1]), ours.without_grains([WEB1])) == ([WEB1], ["web1"])
    ours.take(PRESENCE, "web1", encode_record(WEB1))
    ours.take(GRAINS, "web1", encode_grains(GRAINS_OF_WEB1))
    assert (ours.differing([WEB1]), ours.without_grains([WEB1]), ours.superfluous([WEB1])) == ([], [], [])
    assert sorted(ours.superfluous([])) == [(GRAINS, "web1"), (PRESENCE, "web1")]
    ours.forget(GRAINS)
    assert (ours.differing([WEB1]), ours.without_grains([WEB1])) == ([], ["web1"])
