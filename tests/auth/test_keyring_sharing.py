"""Two keyrings that tell each other: what is decided at one is so at the other, also where both have decided meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sylvite.auth.enrolment import BadToken, Token
from sylvite.auth.keyring import FOLLOWED_NS, OVERLAP_S, Keyring
from sylvite.auth.keyring_announce import announce
from sylvite.auth.keyring_sharing import SharedKeyring, Waiting
from sylvite.auth.keyring_store import NAME, VERSION
from sylvite.auth.keyring_values import KeyInUse, MoveRefused, NotAccepted, State
from sylvite.auth.keys import Fingerprint, PublicKey, make_pair
from sylvite.auth.shared_keys import Record

S = 1_000_000_000
NOW = 1_800_000_000 * S
A, B, C = (make_pair().public for _ in range(3))


class Master:
    """A keyring, and what it shares; `events`: act and id of each that it has announced."""

    def __init__(self, folder: Path, node: str) -> None:
        self.node, self.keyring = node, Keyring.open(folder, make=True)
        self.sharing = SharedKeyring(self.keyring, node)
        self.events: list[tuple[object, object]] = []
        self.ours: dict[str, Record] = {}
        self.shown = self.look()

    def look(self) -> tuple[dict[str, Record], dict[str, Any]]:
        """Return what it tells others."""
        announce(self.keyring, self._publish)
        # What others do with the file shows by itself; what this connection did shows to whoever has not looked yet.
        shown = SharedKeyring(self.keyring, self.node).look()
        assert shown is not None
        assert not shown.due
        self.ours.update(shown.records)
        return self.ours, dict(shown.waiting)

    def _publish(self, events: Sequence[tuple[str, dict[str, object]]]) -> None:
        self.events.extend((data["act"], data["id"]) for _, data in events)

    def states(self) -> dict[tuple[str, Fingerprint], State]:
        return {(key.id, key.fingerprint): key.state for key in self.keyring.all_keys()}

    def accept(self, id_: str, public: PublicKey, now_ns: int = NOW) -> None:
        self.keyring.ask(id_, public, "10.0.0.1", now_ns)
        self.keyring.accept(id_, public.fingerprint, now_ns)
        announce(self.keyring, self._publish)


def exchange(*masters: Master, now_ns: int = NOW) -> None:
    """Have all tell each other, until nobody has anything new to say."""
    for _ in range(10):
        told = {master.node: master.look() for master in masters}
        before = {node: dict(ours) for node, (ours, _) in told.items()}
        for master in masters:
            for other in masters:
                if other is master:
                    continue
                records, asks = told[other.node]
                master.ours.update(master.sharing.take(before[other.node] or records, now_ns))
                known = {id_ for node, id_ in master.sharing.learned() if node == other.node}
                for id_ in {*asks, *known}:
                    master.sharing.take_waiting(other.node, id_, asks.get(id_, Waiting()))
        now = {master.node: master.look() for master in masters}
        is_quiet = all(now[node] == (before[node], waiting) for node, (_, waiting) in told.items())
        if is_quiet and all(found == before[masters[0].node] for found in before.values()):
            return
    raise AssertionError("they do not come to an end")


@pytest.fixture
def mars(tmp_path: Path) -> Generator[Master]:
    master = Master(tmp_path / "mars", "mars")
    yield master
    master.keyring.close()


@pytest.fixture
def venus(tmp_path: Path) -> Generator[Master]:
    master = Master(tmp_path / "venus", "venus")
    yield master
    master.keyring.close()


def test_who_is_accepted_at_one_is_accepted_at_the_other(mars: Master, venus: Master) -> None:
    mars.accept("web1", A)
    exchange(mars, venus)
    identity = venus.keyring.identify(A.fingerprint, NOW)
    assert identity == mars.keyring.identify(A.fingerprint, NOW)
    assert identity.id == "web1"
    assert venus.events == [], "it was announced where it was decided"
    assert mars.events == [("pending", "web1"), ("accepted", "web1")]


def test_what_is_not_announced_does_not_count_elsewhere(mars: Master) -> None:
    mars.keyring.ask("web1", A, "10.0.0.1", NOW)
    mars.keyring.accept("web1", A.fingerprint, NOW)
    shown = SharedKeyring(mars.keyring, mars.node).look()
    assert shown is not None
    assert shown.due == {"web1"}


def test_who_is_revoked_at_the_other_is_revoked_here(mars: Master, venus: Master) -> None:
    mars.accept("web1", A)
    exchange(mars, venus)
    revision = mars.keyring.revision()
    venus.keyring.revoke("web1", A.fingerprint, NOW + S)
    exchange(mars, venus)
    with pytest.raises(NotAccepted, match="revoked"):
        mars.keyring.identify(A.fingerprint, NOW)
    assert mars.keyring.revision() != revision
    assert mars.keyring.epoch("web1") == venus.keyring.epoch("web1") == 2
    assert venus.events == [("revoked", "web1")]
    with pytest.raises(NotAccepted):
        mars.keyring.ask("web1", A, "10.0.0.1", NOW + 2 * S)
    mars.accept("web1", B)
    exchange(mars, venus)
    assert venus.keyring.identify(B.fingerprint, NOW).epoch == 3


def test_who_waits_at_one_is_listed_and_accepted_at_the_other(mars: Master, venus: Master) -> None:
    mars.keyring.ask("web1", A, "10.0.0.1", NOW)
    mars.keyring.ask("web1", B, "10.0.0.2", NOW)
    exchange(mars, venus)
    assert (
        venus.states()
        == mars.states()
        == {("web1", A.fingerprint): State.PENDING, ("web1", B.fingerprint): State.DENIED}
    )
    assert venus.keyring.key("web1", A.fingerprint).address == "10.0.0.1"
    venus.keyring.accept("web1", A.fingerprint, NOW + S)
    exchange(mars, venus)
    assert mars.keyring.identify(A.fingerprint, NOW).id == "web1"
    assert venus.events == [("accepted", "web1")]
    assert mars.events == [("pending", "web1"), ("denied", "web1")]


def test_who_does_not_wait_any_more_is_not_listed_any_more(mars: Master, venus: Master) -> None:
    mars.keyring.ask("web1", A, "10.0.0.1", NOW)
    exchange(mars, venus)
    mars.keyring.delete("web1", A.fingerprint, NOW)
    exchange(mars, venus)
    assert venus.states() == {}
    assert venus.events == []


def test_one_that_waits_elsewhere_can_be_deleted_here(mars: Master, venus: Master) -> None:
    mars.keyring.ask("web1", A, "10.0.0.1", NOW)
    exchange(mars, venus)
    venus.keyring.delete("web1", A.fingerprint, NOW)
    exchange(mars, venus)
    assert venus.states() == mars.states() == {}
    assert venus.sharing.learned() == []
    assert ("delete", "web1") in venus.events
    assert ("delete", "web1") not in mars.events
    mars.keyring.ask("web1", A, "10.0.0.1", NOW + S)
    exchange(mars, venus)
    assert venus.states() == {("web1", A.fingerprint): State.PENDING}, "it has asked again"


def test_one_that_asks_again_meanwhile_is_not_dropped(mars: Master, venus: Master) -> None:
    """Venus deletes it, and before mars hears of that, the minion has asked there once more."""
    mars.keyring.ask("web1", A, "10.0.0.1", NOW)
    exchange(mars, venus)
    venus.keyring.delete("web1", A.fingerprint, NOW)
    mars.keyring.delete("web1", A.fingerprint, NOW)
    mars.keyring.ask("web1", A, "10.0.0.1", NOW + S)
    exchange(mars, venus)
    assert venus.states() == mars.states() == {("web1", A.fingerprint): State.PENDING}


def test_rejecting_and_deleting_travel(mars: Master, venus: Master) -> None:
    mars.keyring.ask("web1", A, "10.0.0.1", NOW)
    exchange(mars, venus)
    venus.keyring.reject("web1", A.fingerprint, NOW)
    exchange(mars, venus)
    assert mars.states() == {("web1", A.fingerprint): State.REJECTED}
    mars.keyring.delete("web1", A.fingerprint, NOW)
    exchange(mars, venus)
    assert venus.states() == {}
    venus.accept("web1", B)
    exchange(mars, venus)
    venus.keyring.revoke("web1", B.fingerprint, NOW)
    exchange(mars, venus)
    assert mars.states() == {("web1", B.fingerprint): State.REVOKED}
    mars.keyring.delete("web1", B.fingerprint, NOW)
    exchange(mars, venus)
    assert venus.states() == {}
    with pytest.raises(NotAccepted, match="revoked"):
        venus.keyring.ask("web1", B, "10.0.0.1", NOW)


def test_what_was_long_ago_at_one_does_not_end_who_has_the_id_at_the_other(tmp_path: Path) -> None:
    """Two keyrings that have never met: one has deleted web1 and revoked a key of web2, the other has both, with other keys."""
    for node in ("mars", "venus"):
        with Keyring.open(tmp_path / node, make=True) as keyring:
            for id_, public in (("web1", A), ("web2", B)) if node == "venus" else (("web1", A), ("web2", C)):
                keyring.ask(id_, public, "10.0.0.1", NOW)
                keyring.accept(id_, public.fingerprint, NOW)
                announce(keyring, lambda _: None)
            if node == "venus":
                keyring.delete("web1", A.fingerprint, NOW)
                keyring.revoke("web2", B.fingerprint, NOW)
                announce(keyring, lambda _: None)
    mars, venus = Master(tmp_path / "mars", "mars"), Master(tmp_path / "venus", "venus")
    exchange(mars, venus)
    for master in (mars, venus):
        assert master.keyring.accepted_ids() == ["web1", "web2"]
        assert master.keyring.identify(C.fingerprint, NOW).id == "web2"
        with pytest.raises(NotAccepted):
            master.keyring.identify(B.fingerprint, NOW)
    venus.keyring.delete("web1", A.fingerprint, NOW)
    exchange(mars, venus)
    assert mars.keyring.accepted_ids() == ["web2"]
    for master in (mars, venus):
        master.keyring.close()


def test_of_two_keys_that_were_accepted_apart_the_earlier_one_stays(mars: Master, venus: Master) -> None:
    mars.accept("web1", A, NOW + S)
    venus.accept("web1", B, NOW)
    venus.events.clear()
    exchange(mars, venus)
    for master in (mars, venus):
        assert master.keyring.identify(B.fingerprint, NOW).id == "web1"
        with pytest.raises(NotAccepted):
            master.keyring.identify(A.fingerprint, NOW)
    assert mars.states()["web1", A.fingerprint] is State.DENIED
    assert mars.events[-1] == ("denied", "web1")
    assert venus.events == []


def test_who_was_revoked_comes_to_nothing_whatever_was_done_meanwhile(mars: Master, venus: Master) -> None:
    """Also with a key that has followed: whoever has stolen one could have made it."""
    mars.accept("web1", A)
    exchange(mars, venus)
    identity = venus.keyring.identify(A.fingerprint, NOW)
    venus.keyring.offer_successor(identity, B, NOW)
    venus.look()
    venus.keyring.succeed(B.fingerprint, NOW)
    venus.look()
    mars.keyring.revoke("web1", A.fingerprint, NOW)
    exchange(mars, venus)
    for master in (mars, venus):
        for public in (A, B):
            with pytest.raises(NotAccepted):
                master.keyring.identify(public.fingerprint, NOW)


def test_a_key_that_follows_may_be_used_at_the_other_master(mars: Master, venus: Master) -> None:
    mars.accept("web1", A)
    mars.keyring.offer_successor(mars.keyring.identify(A.fingerprint, NOW), B, NOW)
    exchange(mars, venus)
    assert venus.keyring.offered_by(B.fingerprint) == "web1"
    venus.keyring.succeed(B.fingerprint, NOW)
    exchange(mars, venus)
    assert mars.keyring.identify(B.fingerprint, NOW).until_ns is None
    over_ns = NOW + int(OVERLAP_S * S)
    assert mars.keyring.identify(A.fingerprint, NOW).until_ns == over_ns
    assert [key.state for key in mars.keyring.all_keys()] == [State.ACCEPTED]
    assert mars.keyring.expire(over_ns) == [], "the other one says it"
    with pytest.raises(NotAccepted):
        mars.keyring.identify(A.fingerprint, over_ns)
    assert [key.fingerprint for key in venus.keyring.expire(over_ns)] == [A.fingerprint]
    exchange(mars, venus)
    assert (
        mars.states()
        == venus.states()
        == {("web1", A.fingerprint): State.REVOKED, ("web1", B.fingerprint): State.ACCEPTED}
    )
    assert mars.keyring.expire(over_ns + FOLLOWED_NS) == []
    assert ("revoked", "web1") in venus.events
    assert ("revoked", "web1") not in mars.events


def test_a_replaced_key_ends_also_where_the_other_master_never_comes_back(mars: Master, venus: Master) -> None:
    venus.accept("web1", A)
    venus.keyring.offer_successor(venus.keyring.identify(A.fingerprint, NOW), B, NOW)
    venus.keyring.succeed(B.fingerprint, NOW)
    exchange(mars, venus)
    over_ns = NOW + int(OVERLAP_S * S)
    assert [key.fingerprint for key in mars.keyring.expire(over_ns + FOLLOWED_NS)] == [A.fingerprint]


def test_a_token_is_used_once(mars: Master, venus: Master) -> None:
    token = Token.new(A.fingerprint)
    mars.keyring.add_token("web1", token.mac("web1"), NOW, NOW + 3600 * S)
    mars.keyring.expect("web2", C.fingerprint, NOW)
    exchange(mars, venus)
    assert venus.keyring.tokens() == {"web1": NOW + 3600 * S}
    assert venus.keyring.expected() == {"web2": C.fingerprint}
    assert venus.keyring.ask("web1", A, "10.0.0.1", NOW, token).state is State.ACCEPTED
    assert venus.keyring.ask("web2", C, "10.0.0.1", NOW).state is State.ACCEPTED
    exchange(mars, venus)
    assert mars.keyring.tokens() == {}
    assert mars.keyring.accepted_ids() == ["web1", "web2"]
    with pytest.raises((BadToken, MoveRefused, KeyInUse)):
        mars.keyring.ask("web3", B, "10.0.0.1", NOW, token)
    assert mars.keyring.ask("web1", B, "10.0.0.1", NOW, token).state is State.DENIED


def test_a_token_that_both_let_be_used_lets_one_in(mars: Master, venus: Master) -> None:
    token = Token.new(A.fingerprint)
    mars.keyring.add_token("web1", token.mac("web1"), NOW, NOW + 3600 * S)
    exchange(mars, venus)
    mars.keyring.ask("web1", A, "10.0.0.1", NOW + S, token)
    venus.keyring.ask("web1", B, "10.0.0.2", NOW + 2 * S, token)
    exchange(mars, venus)
    for master in (mars, venus):
        assert master.keyring.identify(A.fingerprint, NOW).id == "web1"
        assert master.states()["web1", A.fingerprint] is State.ACCEPTED
        with pytest.raises(NotAccepted):
            master.keyring.identify(B.fingerprint, NOW)


def test_one_key_does_not_get_two_ids(mars: Master, venus: Master) -> None:
    mars.accept("web1", A, NOW)
    venus.accept("web2", A, NOW + S)
    exchange(mars, venus)
    for master in (mars, venus):
        assert master.keyring.identify(A.fingerprint, NOW).id == "web1"
        assert master.keyring.accepted_ids() == ["web1"]


def test_what_waits_elsewhere_does_not_take_all_the_room(
    mars: Master, venus: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sylvite.auth.keyring_sharing.LEARNED_MAX", 2)
    for number, public in enumerate((A, B, C)):
        mars.keyring.ask(f"web{number}", public, "10.0.0.1", NOW)
    exchange(mars, venus)
    assert len(venus.keyring.all_keys()) == 2


def test_keys_that_cannot_be_are_passed_over(mars: Master, venus: Master) -> None:
    mars.accept("web1", A)
    ((id_, record),) = mars.look()[0].items()
    assert venus.sharing.take({"../web1": record}, NOW) == {}
    assert list(venus.sharing.take({id_: record}, NOW)) == [id_]


def test_a_file_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    with Keyring.open(tmp_path / "mars", make=True) as keyring:
        keyring.ask("web1", A, "10.0.0.1", NOW)
    path = tmp_path / "mars" / NAME
    file = sqlite3.connect(path)
    file.executescript(
        "DROP TABLE shared; DROP TABLE learned; DROP TABLE followed; DROP INDEX barred_ids; DROP INDEX former_ids; "
        "PRAGMA user_version = 1;"
    )
    file.close()
    for _ in range(2):
        with Keyring.open(tmp_path / "mars") as keyring:
            assert [key.id for key in keyring.all_keys()] == ["web1"]
            assert keyring.store.row("PRAGMA user_version") == (VERSION,)
            assert SharedKeyring(keyring, "mars").known() == {}


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["accept", "reject", "revoke", "delete", "ask", "offer", "succeed", "expect", "forget", "tell"]
        ),
        st.booleans(),
        st.sampled_from([A, B, C]),
    ),
    max_size=14,
)


@settings(max_examples=25, deadline=None)
@given(operations=OPERATIONS)
def test_whatever_was_done_on_both_sides_they_agree_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, bool, PublicKey]]
) -> None:
    folder = tmp_path_factory.mktemp("keyrings")
    masters = [Master(folder / node, node) for node in ("mars", "venus")]
    revoked: set[Fingerprint] = set()
    try:
        for number, (operation, where, public) in enumerate(operations):
            master, now_ns = masters[where], NOW + number
            if operation == "tell":
                exchange(*masters, now_ns=now_ns)
                continue
            try:
                _do(master.keyring, operation, public, now_ns)
            except (MoveRefused, KeyInUse, NotAccepted, LookupError):
                continue
            if operation == "revoke":
                revoked.add(public.fingerprint)
        exchange(*masters)
        mars, venus = (each.states() for each in masters)
        counts = [{place for place, state in states.items() if state is State.ACCEPTED} for states in (mars, venus)]
        assert counts[0] == counts[1]
        assert not revoked & {fingerprint for _, fingerprint in counts[0]}
        assert masters[0].keyring.expected() == masters[1].keyring.expected()
        for _, fingerprint in counts[0]:
            assert len({each.keyring.identify(fingerprint, NOW) for each in masters}) == 1
        assert [each.keyring.problems() for each in masters] == [[], []]
    finally:
        for master in masters:
            master.keyring.close()


def _do(keyring: Keyring, operation: str, public: PublicKey, now_ns: int) -> None:
    fingerprint = public.fingerprint
    known = {key.fingerprint for key in keyring.all_keys("web1")}
    if operation in ("accept", "reject", "revoke", "delete") and fingerprint not in known:
        raise LookupError(fingerprint)
    if operation == "ask":
        keyring.ask("web1", public, "10.0.0.1", now_ns)
    elif operation == "offer":
        holder = next((key for key in keyring.all_keys("web1") if key.counts), None)
        if holder is None:
            raise LookupError(fingerprint)
        keyring.offer_successor(keyring.identify(holder.fingerprint, now_ns), public, now_ns)
    elif operation == "succeed":
        keyring.succeed(fingerprint, now_ns)
    elif operation == "expect":
        keyring.expect("web1", fingerprint, now_ns)
    elif operation == "forget":
        keyring.forget_expected("web1")
    else:
        getattr(keyring, operation)("web1", fingerprint, now_ns)
    announce(keyring, lambda _: None)
