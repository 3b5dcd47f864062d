"""Admission: what becomes of a minion that asks, and how much of the keyring strangers can fill."""

from __future__ import annotations

from dataclasses import replace

from sylvite.auth import keyring_records as records
from sylvite.auth.enrolment import BadToken, Token, token_fits
from sylvite.auth.keyring_records import read_key
from sylvite.auth.keyring_store import Store
from sylvite.auth.keyring_values import (
    PENDING_MAX,
    PENDING_PER_ADDRESS_MAX,
    UNSEEN_S,
    Act,
    Key,
    KeyInUse,
    MinionId,
    NotAccepted,
    State,
    TooManyPending,
)
from sylvite.auth.keys import Fingerprint, PublicKey

NANOSECONDS = 1_000_000_000
SEEN_EVERY_NS = 60 * NANOSECONDS
"""How exact `seen_ns` is: a minion that asks every few seconds must not cost a sync each time."""


def is_barred(store: Store, fingerprint: Fingerprint) -> bool:
    return store.row("SELECT 1 FROM barred WHERE fingerprint = ?", fingerprint) is not None


def ask(store: Store, id_: MinionId, public: PublicKey, address: str, now_ns: int, token: Token | None) -> Key:
    """See `Keyring.ask`."""
    known = _known(store, id_, public)
    if known is not None and _is_settled(store, known, now_ns, token):
        return known  # The usual case, which writes nothing.
    with store.writing():
        known = _known(store, id_, public)
        if known is not None:
            return _ask_again(store, known, address, now_ns, token)
        if records.is_used_elsewhere(store, id_, public.fingerprint):
            raise KeyInUse(id_)
        key = Key(id_, public, State.PENDING, records.epoch_of(store, id_), False, address, now_ns, now_ns, now_ns)
        return _admit(store, key, now_ns, token)


def _known(store: Store, id_: MinionId, public: PublicKey) -> Key | None:
    """Return the record of this key under this id.  Raises NotAccepted: it was revoked, under whatever id."""
    if is_barred(store, public.fingerprint):
        raise NotAccepted(public.fingerprint, State.REVOKED)
    row = store.row("SELECT * FROM records WHERE id = ? AND fingerprint = ?", id_, public.fingerprint)
    return None if row is None else read_key(row)


def _is_settled(store: Store, key: Key, now_ns: int, token: Token | None) -> bool:
    if key.state in (State.ACCEPTED, State.REJECTED):
        return True
    was_seen = abs(now_ns - key.seen_ns) < SEEN_EVERY_NS
    if key.state is State.DENIED:
        return was_seen and token is None and _is_taken(store, key, now_ns)
    return was_seen and token is None and not _is_expected(store, key)


def _ask_again(store: Store, key: Key, address: str, now_ns: int, token: Token | None) -> Key:
    is_free = key.state is State.DENIED and records.holder_of(store, key.id) is None
    if is_free and (_may_enter(store, key, now_ns, token) or not _is_reserved(store, key.id, now_ns)):
        return _admit_at_last(store, key, address, now_ns, token)
    if key.state in (State.PENDING, State.DENIED):
        store.change(
            "UPDATE keys SET seen_ns = ?, address = ? WHERE id = ? AND fingerprint = ?",
            now_ns, address, key.id, key.fingerprint,
        )  # fmt: skip
        key = records.find(store, key.id, key.fingerprint)
    if key.state is State.PENDING and _may_enter(store, key, now_ns, token):
        return records.accept(store, key, now_ns)
    return key


def _admit_at_last(store: Store, key: Key, address: str, now_ns: int, token: Token | None) -> Key:
    """Take a denied key whose id has become free: it asks as if for the first time, and leaves the place that it had."""
    if records.is_used_elsewhere(store, key.id, key.fingerprint):
        raise KeyInUse(key.id)
    store.change("DELETE FROM keys WHERE id = ? AND fingerprint = ?", key.id, key.fingerprint)
    epoch = records.epoch_of(store, key.id)
    fresh = Key(key.id, key.public, State.PENDING, epoch, False, address, now_ns, now_ns, now_ns)
    return _admit(store, fresh, now_ns, token)


def _admit(store: Store, key: Key, now_ns: int, token: Token | None) -> Key:
    """Make the first record of a key under an id."""
    held = records.holder_of(store, key.id) is not None
    if not held and _may_enter(store, key, now_ns, token):
        records.add(store, key)  # It was never pending, and no event says so.
        return records.accept(store, key, now_ns)
    _make_room(store, key.address, now_ns)
    if held or _is_reserved(store, key.id, now_ns):
        return records.insert(store, replace(key, state=State.DENIED), Act.DENY)
    return records.insert(store, key, Act.PEND)


def _is_taken(store: Store, key: Key, now_ns: int) -> bool:
    if records.holder_of(store, key.id) is not None:
        return True
    return _is_reserved(store, key.id, now_ns) and not _is_expected(store, key)


def _is_reserved(store: Store, id_: str, now_ns: int) -> bool:
    """Say whether an operator has prepared the id for somebody: a stranger must not be there first."""
    found = store.row(
        "SELECT 1 FROM expected WHERE id = ?1 UNION ALL SELECT 1 FROM tokens WHERE id = ?1 AND until_ns > ?2",
        id_,
        now_ns,
    )
    return found is not None


def _may_enter(store: Store, key: Key, now_ns: int, token: Token | None) -> bool:
    """Say whether an operator has let it in beforehand.  Raises BadToken: it brings a token that is none."""
    if _is_expected(store, key):
        return True
    if token is None:
        return False
    row = store.row("SELECT mac, made_ns, until_ns FROM tokens WHERE id = ?", key.id)
    if row is None or not token_fits(token, key.id, mac=row[0], made_ns=row[1], until_ns=row[2], now_ns=now_ns):
        raise BadToken(f"the token is not valid for {key.id}: it is of another id, was used, or is too old")
    return True


def _is_expected(store: Store, key: Key) -> bool:
    row = store.row("SELECT fingerprint FROM expected WHERE id = ?", key.id)
    return row is not None and row[0] == key.fingerprint


def _make_room(store: Store, address: str, now_ns: int) -> None:
    """Let one more stranger in; where there are too many, in the place of the one that was not seen for longest.

    Raises:
        TooManyPending: all of them were seen lately.
    """
    for limit, count, oldest, values in (
        (
            PENDING_PER_ADDRESS_MAX,
            "SELECT count(*) FROM keys WHERE address = ? AND state IN ('pending', 'denied')",
            "SELECT * FROM records WHERE address = ? AND state IN ('pending', 'denied') ORDER BY seen_ns LIMIT 1",
            (address,),
        ),
        (
            PENDING_MAX,
            "SELECT count(*) FROM keys WHERE state IN ('pending', 'denied')",
            "SELECT * FROM records WHERE state IN ('pending', 'denied') ORDER BY seen_ns LIMIT 1",
            (),
        ),
    ):
        if store.row(count, *values)[0] < limit:
            continue
        key = read_key(store.row(oldest, *values))
        if now_ns - key.seen_ns < UNSEEN_S * NANOSECONDS:
            whose = f"from {address}" if values else "in all"
            raise TooManyPending(f"{limit} keys {whose} wait already; accept, reject or delete some")
        records.delete(store, key, key.epoch, now_ns)
