"""Records of the keyring: reading and writing one, within the transaction of its caller."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sylvite.auth.keyring_store import Store
from sylvite.auth.keyring_values import Act, Key, MinionId, NoSuchKey, State
from sylvite.auth.keys import Fingerprint, PublicKey


def read_key(row: Any) -> Key:
    """Return what a row of `records` says (auth/keyring_store.py)."""
    id_, _, public, state, epoch, counts, address, made_ns, changed_ns, seen_ns = row
    return Key(
        MinionId(id_), PublicKey(public), State(state), epoch, bool(counts), address, made_ns, changed_ns, seen_ns
    )


def find(store: Store, id_: str, fingerprint: Fingerprint) -> Key:
    """Raises NoSuchKey."""
    row = store.row("SELECT * FROM records WHERE id = ? AND fingerprint = ?", id_, fingerprint)
    if row is None:
        raise NoSuchKey(f"{id_!a} has no key {fingerprint}; `sylvite keys list` shows those that there are")
    return read_key(row)


def holder_of(store: Store, id_: str) -> Key | None:
    """Return the one record that holds an id, if there is one."""
    row = store.row("SELECT * FROM records WHERE id = ? AND state IN ('pending', 'accepted', 'rejected')", id_)
    return None if row is None else read_key(row)


def is_used_elsewhere(store: Store, id_: str, fingerprint: Fingerprint) -> bool:
    """Say whether another id has the key, or anybody has had it or is to have it."""
    found = store.row(
        "SELECT 1 FROM keys WHERE fingerprint = ?1 AND id != ?2 AND state != 'denied' "
        "UNION ALL SELECT 1 FROM successors WHERE fingerprint = ?1 UNION ALL SELECT 1 FROM former WHERE fingerprint = ?1 "
        "UNION ALL SELECT 1 FROM barred WHERE fingerprint = ?1",
        fingerprint, id_,
    )  # fmt: skip
    return found is not None


def epoch_of(store: Store, id_: str) -> int:
    row = store.row("SELECT epoch FROM ids WHERE id = ?", id_)
    return 0 if row is None else row[0]


def next_epoch(store: Store, id_: str) -> int:
    epoch = epoch_of(store, id_) + 1
    store.change("REPLACE INTO ids VALUES (?, ?)", id_, epoch)
    return epoch


def insert(store: Store, key: Key, act: Act) -> Key:
    add(store, key)
    _due(store, key, act, key.epoch, key.changed_ns)
    return key


def add(store: Store, key: Key) -> None:
    """Write a record without an event: the move that follows at once has one."""
    store.change(
        "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        key.id, key.fingerprint, key.public.raw, key.state.value, key.epoch, key.address, key.made_ns, key.changed_ns, key.seen_ns,
    )  # fmt: skip


def move(store: Store, key: Key, state: State, act: Act, epoch: int, now_ns: int) -> Key:
    store.change(
        "UPDATE keys SET state = ?, epoch = ?, changed_ns = ? WHERE id = ? AND fingerprint = ?",
        state.value, epoch, now_ns, key.id, key.fingerprint,
    )  # fmt: skip
    moved = replace(key, state=state, epoch=epoch, changed_ns=now_ns, counts=False)
    _due(store, moved, act, epoch, now_ns)
    return moved


def accept(store: Store, key: Key, now_ns: int) -> Key:
    """Accept a record, new or moved, with a new epoch of its id; what was prepared for the id is used up."""
    epoch = next_epoch(store, key.id)
    store.change("DELETE FROM tokens WHERE id = ?", key.id)
    store.change("DELETE FROM expected WHERE id = ?", key.id)
    return move(store, key, State.ACCEPTED, Act.ACCEPT, epoch, now_ns)


def delete(store: Store, key: Key, epoch: int, now_ns: int) -> None:
    store.change("DELETE FROM keys WHERE id = ? AND fingerprint = ?", key.id, key.fingerprint)
    _due(store, key, Act.DELETE, epoch, now_ns)


def bar(store: Store, fingerprint: Fingerprint, id_: str, epoch: int, now_ns: int) -> None:
    store.change("INSERT OR IGNORE INTO barred VALUES (?, ?, ?, ?)", fingerprint, id_, epoch, now_ns)


def _due(store: Store, key: Key, act: Act, epoch: int, at_ns: int) -> None:
    store.change(
        "INSERT INTO due (act, id, epoch, fingerprint, public, at_ns) VALUES (?, ?, ?, ?, ?, ?)",
        act.value, key.id, epoch, key.fingerprint, key.public.raw, at_ns,
    )  # fmt: skip
    store.change("UPDATE revision SET number = number + 1")
