"""Applying: what the masters say together of an id, in the tables of this one, within the transaction of the caller.

No event comes of it: whoever decided it has announced it.  But what this master alone knows to have lost by it, it says: a
minion that waits here, or was let in here, and whose id is another key's now.
"""

from __future__ import annotations

import logging

from sylvite.auth import keyring_records as records
from sylvite.auth.keyring_records import read_key
from sylvite.auth.keyring_store import Store
from sylvite.auth.keyring_values import HOLDS_ID, Act, Key, MinionId, State
from sylvite.auth.keys import Fingerprint, PublicKey
from sylvite.auth.shared_keys import Bar, Decision, Record, conflict, effective

logger = logging.getLogger("sylvite.cluster.keys")


def apply(store: Store, id_: MinionId, known: Decision, joined: Record, node: str, now_ns: int) -> None:
    """`known`: what was decided before.  `node`: this master.  Its keys are sound."""
    wanted = effective(joined, _fingerprint(joined.decision.public))
    lost = conflict(known, joined.decision)
    if wanted.epoch > records.epoch_of(store, id_):
        store.change("REPLACE INTO ids VALUES (?, ?)", id_, wanted.epoch)
    for bar in joined.bars:
        _bar(store, id_, bar)
    for key in _keys_of(store, id_):
        if key.public.raw != wanted.public:
            _give_way(store, key, wanted, lost.lost if lost is not None else None, node, now_ns)
    if known.state == "revoked" and not wanted.state:
        _forget(store, id_, _fingerprint(known.public), (State.REVOKED,))
    _hold(store, id_, wanted)
    _roll_over(store, id_, wanted)
    _prepare(store, id_, wanted)
    store.change("UPDATE revision SET number = number + 1")


def _keys_of(store: Store, id_: str) -> list[Key]:
    return [read_key(row) for row in store.rows("SELECT * FROM records WHERE id = ?", id_)]


def _fingerprint(public: bytes) -> Fingerprint:
    return PublicKey(public).fingerprint if public else Fingerprint("")


def _forget(store: Store, id_: str, fingerprint: str, states: tuple[State, ...]) -> None:
    for state in states:
        store.change("DELETE FROM keys WHERE id = ? AND fingerprint = ? AND state = ?", id_, fingerprint, state.value)


def _bar(store: Store, id_: str, bar: Bar) -> None:
    """Let a key count no more, under whatever id."""
    known = store.row("SELECT epoch, at_ns FROM barred WHERE fingerprint = ?", bar.fingerprint)
    if known is None or (bar.epoch, bar.at_ns) > known:
        store.change("REPLACE INTO barred VALUES (?, ?, ?, ?)", bar.fingerprint, id_, bar.epoch, bar.at_ns)
    store.change(
        "UPDATE keys SET state = 'revoked', epoch = ?, changed_ns = ? WHERE fingerprint = ? "
        "AND state IN ('pending', 'accepted', 'rejected')",
        bar.epoch, bar.at_ns, bar.fingerprint,
    )  # fmt: skip
    # The key of a minion that has another one by now is shown among the revoked ones, as where that was noticed first.
    store.change(
        "INSERT OR IGNORE INTO keys SELECT id, fingerprint, public, 'revoked', epoch, '', ?1, ?1, ?1 FROM former WHERE fingerprint = ?2",
        bar.at_ns, bar.fingerprint,
    )  # fmt: skip
    for statement in (
        "DELETE FROM former WHERE fingerprint = ?",
        "DELETE FROM followed WHERE fingerprint = ?",
        "DELETE FROM successors WHERE fingerprint = ?",
    ):
        store.change(statement, bar.fingerprint)


def _give_way(store: Store, key: Key, wanted: Decision, lost: Decision | None, node: str, now_ns: int) -> None:
    """Take the id from a key that does not have it any more."""
    if key.state is State.PENDING:
        if wanted.state in ("accepted", "rejected"):
            _deny(store, key, announced=_is_learned(store, key), now_ns=now_ns)
    elif key.state in HOLDS_ID:
        if lost is not None and lost.public == key.public.raw:
            logger.warning("two masters have accepted different keys for %s: %s is denied", key.id, key.fingerprint)
            _deny(store, key, announced=lost.node != node, now_ns=now_ns)
        else:
            _forget(store, key.id, key.fingerprint, (key.state,))


def _is_learned(store: Store, key: Key) -> bool:
    found = store.row("SELECT 1 FROM learned WHERE id = ? AND fingerprint = ?", key.id, key.fingerprint)
    return found is not None


def _deny(store: Store, key: Key, *, announced: bool, now_ns: int) -> None:
    if not announced:
        records.move(store, key, State.DENIED, Act.DENY, key.epoch, now_ns)
        return
    store.change(
        "UPDATE keys SET state = 'denied', changed_ns = ? WHERE id = ? AND fingerprint = ?",
        now_ns, key.id, key.fingerprint,
    )  # fmt: skip


def _hold(store: Store, id_: str, wanted: Decision) -> None:
    if not wanted.state:
        return
    fingerprint = _fingerprint(wanted.public)
    if not _has_room(store, id_, fingerprint, wanted):
        logger.error("%s cannot have the key %s here: another id has it", id_, fingerprint)
        return
    values = (wanted.state, wanted.epoch, wanted.made_ns, wanted.changed_ns)
    if not store.change(
        "UPDATE keys SET state = ?, epoch = ?, made_ns = ?, changed_ns = ? WHERE id = ? AND fingerprint = ?",
        *values, id_, fingerprint,
    ):  # fmt: skip
        store.change(
            "INSERT INTO keys VALUES (?, ?, ?, ?, ?, '', ?, ?, ?)",
            id_, fingerprint, wanted.public, *values, wanted.changed_ns,
        )  # fmt: skip


def _has_room(store: Store, id_: str, fingerprint: str, wanted: Decision) -> bool:
    """Say whether no other id has the key; where two have got it, the one that had it earlier keeps it, on each master."""
    row = store.row("SELECT * FROM records WHERE fingerprint = ? AND id != ? AND state != 'denied'", fingerprint, id_)
    if row is None:
        return True
    other = read_key(row)
    if other.state is State.REVOKED:
        return False
    if other.state is State.PENDING or (wanted.changed_ns, id_) < (other.changed_ns, other.id):
        _forget(store, other.id, fingerprint, (other.state,))
        return True
    return False


def _roll_over(store: Store, id_: str, wanted: Decision) -> None:
    """Have the keys that are replaced, and the one that is to follow."""
    formers = {_fingerprint(former.public): former for former in wanted.formers}
    for (fingerprint,) in store.rows("SELECT fingerprint FROM former WHERE id = ?", id_):
        if fingerprint not in formers:
            store.change("DELETE FROM former WHERE fingerprint = ?", fingerprint)
    for fingerprint, former in formers.items():
        if store.change("UPDATE former SET until_ns = ? WHERE fingerprint = ?", former.until_ns, fingerprint):
            continue
        if not _counts_somewhere(store, fingerprint):
            store.change(
                "INSERT INTO former VALUES (?, ?, ?, ?, ?)", fingerprint, id_, wanted.epoch, former.public, former.until_ns
            )  # fmt: skip
            store.change("INSERT OR IGNORE INTO followed VALUES (?)", fingerprint)
    store.change("DELETE FROM successors WHERE id = ?", id_)
    if wanted.successor is not None:
        fingerprint = _fingerprint(wanted.successor.public)
        if not _counts_somewhere(store, fingerprint):
            store.change(
                "INSERT INTO successors VALUES (?, ?, ?, ?, ?)",
                id_, fingerprint, wanted.successor.public, _fingerprint(wanted.public), wanted.successor.made_ns,
            )  # fmt: skip


def _counts_somewhere(store: Store, fingerprint: str) -> bool:
    found = store.row(
        "SELECT 1 FROM keys WHERE fingerprint = ?1 AND state != 'denied' UNION ALL SELECT 1 FROM barred WHERE fingerprint = ?1 "
        "UNION ALL SELECT 1 FROM former WHERE fingerprint = ?1 UNION ALL SELECT 1 FROM successors WHERE fingerprint = ?1",
        fingerprint,
    )
    return found is not None


def _prepare(store: Store, id_: str, wanted: Decision) -> None:
    store.change("DELETE FROM expected WHERE id = ?", id_)
    if wanted.expected:
        store.change("INSERT INTO expected VALUES (?, ?, ?)", id_, wanted.expected, wanted.changed_ns)
    store.change("DELETE FROM tokens WHERE id = ?", id_)
    if wanted.token is not None:
        token = wanted.token
        store.change("INSERT INTO tokens VALUES (?, ?, ?, ?)", id_, token.mac, token.made_ns, token.until_ns)
