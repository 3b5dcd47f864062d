"""Sharing: what the tables of a keyring say of each id as a record for other masters, and theirs in the tables.

What was changed here shows by the tables' saying something else than when they were looked at last (`shared`): so whoever changes
a key need not know that there are other masters.  Keys that wait are *asks*: each master tells those that have come to it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from sylvite.auth import keyring_records as records
from sylvite.auth import shared_keys as shared
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_applying import apply
from sylvite.auth.keyring_store import Store
from sylvite.auth.keyring_values import PENDING_MAX, InvalidMinionId, MinionId, State, check_id
from sylvite.auth.keys import InvalidKey, PublicKey
from sylvite.auth.shared_keys import Bar, Decision, Former, Prepared, Record, Successor

SEEN_EVERY_NS = 300_000_000_000
LEARNED_MAX = PENDING_MAX // 2
"""So many keys that wait at other masters are listed here: the rest of the room is for those that ask here."""

_NO_VIEW = shared.encode(shared.NOTHING)
logger = logging.getLogger("sylvite.cluster.keys")


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """A key that waits, as the master tells to which it came.  `seen_ns`: not exactly."""

    public: bytes
    denied: bool
    address: str
    made_ns: int
    seen_ns: int


class Dropped(msgspec.Struct, frozen=True, array_like=True):
    """A key that waits at the master `node`, and was deleted here; one that asks again has another `made_ns`."""

    node: str
    fingerprint: str
    made_ns: int


class Waiting(msgspec.Struct, frozen=True, array_like=True):
    """What a master says of the keys that wait under an id."""

    asks: tuple[Ask, ...] = ()
    dropped: tuple[Dropped, ...] = ()


class Shown(NamedTuple):
    """`records`: those that have changed.  `due`: ids of keys whose acceptance is not announced: they do not count, here or
    elsewhere.  `waiting`: all that is to be said of keys that wait, by id."""

    records: Mapping[str, Record]
    due: frozenset[str]
    waiting: Mapping[str, Waiting]


class SharedKeyring:
    """`node`: the name of this master.  It belongs to one thread, as the keyring does."""

    def __init__(self, keyring: Keyring, node: str) -> None:
        self._keyring, self._store, self._node = keyring, keyring.store, node
        self._version = -1

    def known(self) -> dict[str, Record]:
        """Return all records that say something, as they were written last."""
        found = {id_: shared.decode(record) for id_, record in self._store.rows("SELECT id, record FROM shared")}
        return {id_: record for id_, record in sorted(found.items()) if record != shared.NOTHING}

    def look(self) -> Shown | None:
        """Note what was changed here, and return it; None where nobody has written to the keyring since the last time."""
        (version,) = self._store.row("PRAGMA data_version")
        if version == self._version:
            return None
        found = self._note()
        self._version = version
        due = {id_ for (id_,) in self._store.rows("SELECT DISTINCT id FROM due WHERE act = 'accepted'")}
        return Shown(found, frozenset(due), self._waiting())

    def take(self, incoming: Mapping[str, Record], now_ns: int) -> dict[str, Record]:
        """Take in what other masters say, in one transaction, and return what comes of it.

        An id or a key that cannot be is passed over.
        """
        sound = {id_: record for id_, record in incoming.items() if _is_sound(id_, record)}
        self._version = -1
        with self._store.writing():
            changed = self._note_within(sound)
            for id_, record in sound.items():
                known = self._read(id_)
                joined = shared.join(known, record)
                if joined != known:
                    apply(self._store, MinionId(id_), known.decision, joined, self._node, now_ns)
                    self._write(id_, joined, _views(self._store, (id_,))[id_])
                    changed[id_] = joined
        return changed

    def take_waiting(self, node: str, id_: str, waiting: Waiting) -> None:
        """Take in which keys wait under an id at another master: all of them; and which of ours were deleted there."""
        self._version = -1
        with self._store.writing():
            told = {key.fingerprint: (key, ask) for ask in waiting.asks if (key := _key_of(id_, ask)) is not None}
            for (fingerprint,) in self._store.rows(
                "SELECT fingerprint FROM learned WHERE id = ? AND node = ?", id_, node
            ):
                if fingerprint not in told:
                    self._store.change("DELETE FROM learned WHERE id = ? AND fingerprint = ?", id_, fingerprint)
                    self._store.change(
                        "DELETE FROM keys WHERE id = ? AND fingerprint = ? AND state IN ('pending', 'denied')",
                        id_, fingerprint,
                    )  # fmt: skip
            for key, ask in told.values():
                self._learn(node, MinionId(id_), key, ask)
            for fingerprint, made_ns in [
                (each.fingerprint, each.made_ns) for each in waiting.dropped if each.node == self._node
            ]:
                self._store.change(
                    "DELETE FROM keys WHERE id = ? AND fingerprint = ? AND made_ns = ? AND state IN ('pending', 'denied')",
                    id_, fingerprint, made_ns,
                )  # fmt: skip

    def learned(self) -> list[tuple[str, str]]:
        """Return which masters have told of which ids that keys wait there."""
        return self._store.rows("SELECT DISTINCT node, id FROM learned")

    # -- Of our own ----------------------------------------------------------------------------------------------------

    def _note(self) -> dict[str, Record]:
        before = self._before()
        views = _views(self._store, None, before)
        if all(before.get(id_, _NO_VIEW) == shared.encode(view) for id_, view in views.items()):
            return {}  # Most times nothing has changed that others need to know: then nothing is written.
        with self._store.writing():
            return self._note_within(None)

    def _before(self, ids: Sequence[str] | None = None) -> dict[str, bytes]:
        query = "SELECT id, view FROM shared"
        if ids is None:
            return dict(self._store.rows(query))
        return dict(row for id_ in ids for row in self._store.rows(f"{query} WHERE id = ?", id_))

    def _note_within(self, ids: Iterable[str] | None) -> dict[str, Record]:
        """Make a decision of whatever the tables say that they did not say before; within a transaction."""
        chosen = None if ids is None else tuple(ids)
        before = self._before(chosen)
        changed: dict[str, Record] = {}
        for id_, view in _views(self._store, chosen, before).items():
            if before.get(id_, _NO_VIEW) == shared.encode(view):
                continue
            known = self._read(id_)
            found = shared.join(known, Record(known.decision, view.bars))
            is_history = id_ not in before and not _says_something(view.decision)
            if not is_history and not known.decision.same_as(view.decision):
                found = shared.join(found, shared.decided(found, view.decision, self._node))
            self._write(id_, found, view)
            if found != shared.NOTHING:
                changed[id_] = found
        return changed

    def _waiting(self) -> dict[str, Waiting]:
        asks, dropped = self._asks(), self._dropped()
        return {id_: Waiting(asks.get(id_, ()), dropped.get(id_, ())) for id_ in sorted({*asks, *dropped})}

    def _dropped(self) -> dict[str, tuple[Dropped, ...]]:
        found: dict[str, tuple[Dropped, ...]] = {}
        for id_, *rest in self._store.rows(
            "SELECT id, node, fingerprint, made_ns FROM learned WHERE NOT EXISTS "
            "(SELECT 1 FROM keys WHERE keys.id = learned.id AND keys.fingerprint = learned.fingerprint) ORDER BY id, fingerprint"
        ):
            found[id_] = (*found.get(id_, ()), Dropped(*rest))
        return found

    def _asks(self) -> dict[str, tuple[Ask, ...]]:
        found: dict[str, tuple[Ask, ...]] = {}
        for id_, public, state, address, made_ns, seen_ns in self._store.rows(
            "SELECT id, public, state, address, made_ns, seen_ns FROM keys WHERE state IN ('pending', 'denied') "
            "AND NOT EXISTS (SELECT 1 FROM learned WHERE learned.id = keys.id AND learned.fingerprint = keys.fingerprint) "
            "ORDER BY id, fingerprint"
        ):
            seen_ns -= seen_ns % SEEN_EVERY_NS
            found[id_] = (*found.get(id_, ()), Ask(public, state == State.DENIED, address, made_ns, seen_ns))
        return found

    # -- Of others -----------------------------------------------------------------------------------------------------

    def _learn(self, node: str, id_: MinionId, key: PublicKey, ask: Ask) -> None:
        fingerprint, store = key.fingerprint, self._store
        row = store.row("SELECT made_ns FROM learned WHERE id = ? AND fingerprint = ?", id_, fingerprint)
        marked, is_known = row is not None, row == (ask.made_ns,)
        if store.row("SELECT 1 FROM keys WHERE id = ? AND fingerprint = ?", id_, fingerprint) is not None:
            if marked:
                store.change(
                    "UPDATE keys SET seen_ns = max(seen_ns, ?), address = ? WHERE id = ? AND fingerprint = ? "
                    "AND state IN ('pending', 'denied')",
                    ask.seen_ns, ask.address, id_, fingerprint,
                )  # fmt: skip
            return
        if is_known or records.is_used_elsewhere(store, id_, fingerprint):
            return  # It was deleted here; or it could not be accepted.
        (count,) = store.row("SELECT count(*) FROM learned")
        if count >= LEARNED_MAX:
            return
        taken = ask.denied or records.holder_of(store, id_) is not None
        state = State.DENIED if taken else State.PENDING
        store.change(
            "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            id_, fingerprint, key.raw, state.value, records.epoch_of(store, id_), ask.address, ask.made_ns, ask.made_ns, ask.seen_ns,
        )  # fmt: skip
        store.change("REPLACE INTO learned VALUES (?, ?, ?, ?)", id_, fingerprint, node, ask.made_ns)

    # -- The table -----------------------------------------------------------------------------------------------------

    def _read(self, id_: str) -> Record:
        row = self._store.row("SELECT record FROM shared WHERE id = ?", id_)
        return shared.NOTHING if row is None else shared.decode(row[0])

    def _write(self, id_: str, record: Record, view: Record) -> None:
        self._store.change("REPLACE INTO shared VALUES (?, ?, ?)", id_, shared.encode(record), shared.encode(view))


def _says_something(decision: Decision) -> bool:
    """Say whether it is for others at the first meeting: that somebody had the id here long ago must not end who has it there.
    What was revoked stays barred."""
    return decision.state in ("accepted", "rejected") or bool(decision.expected) or decision.token is not None


def _is_sound(id_: str, record: Record) -> bool:
    decision = record.decision
    try:
        check_id(id_)
        for public in (*(former.public for former in decision.formers), *([decision.public] if decision.state else [])):
            PublicKey(public)
        if decision.successor is not None:
            PublicKey(decision.successor.public)
    except (InvalidMinionId, InvalidKey) as error:
        logger.warning("what another master says of the key of %s is passed over: %s", ascii(id_[:80]), error)
        return False
    return True


def _key_of(id_: str, ask: Ask) -> PublicKey | None:
    try:
        check_id(id_)
        return PublicKey(ask.public)
    except (InvalidMinionId, InvalidKey) as error:
        logger.warning("a key of %s that waits elsewhere is passed over: %s", ascii(id_[:80]), error)
        return None


def _views(store: Store, ids: Sequence[str] | None, before: Mapping[str, bytes] | None = None) -> dict[str, Record]:
    """Return what the tables say of each id, or of these, as records without version and node.

    `before`: ids of which something is to be said, though the tables know nothing any more.
    """
    return _Reading(store, ids, before or {}).views()


class _Holder(NamedTuple):
    state: shared.State
    public: bytes
    made_ns: int
    changed_ns: int
    epoch: int

    @property
    def order(self) -> tuple[int, bytes]:
        return self.changed_ns, self.public


_NOBODY = _Holder("", b"", 0, 0, 0)


class _Reading:
    """Reads each table once: of all ids, or of some."""

    def __init__(self, store: Store, ids: Sequence[str] | None, before: Mapping[str, bytes]) -> None:
        self._store, self._ids = store, ids
        self._all: set[str] = set(ids) if ids is not None else set(before)

    def views(self) -> dict[str, Record]:
        epochs: dict[str, int] = dict(self._rows("ids", "id, epoch"))
        holders = self._holders(epochs)
        successors = {id_: Successor(*rest) for id_, *rest in self._rows("successors", "id, public, made_ns")}
        expected: dict[str, str] = dict(self._rows("expected", "id, fingerprint"))
        tokens = {id_: Prepared(*rest) for id_, *rest in self._rows("tokens", "id, mac, made_ns, until_ns")}
        formers: dict[str, list[Former]] = {}
        for id_, public, until_ns in self._rows("former", "id, public, until_ns"):
            formers.setdefault(id_, []).append(Former(public, until_ns))
        bars: dict[str, list[Bar]] = {}
        for id_, *rest in self._rows("barred", "id, fingerprint, epoch, at_ns"):
            bars.setdefault(id_, []).append(Bar(*rest))
        self._all.update(epochs, holders, expected, tokens, bars)
        found: dict[str, Record] = {}
        for id_ in sorted(self._all):
            holder = holders.get(id_, _NOBODY)
            # That somebody had the id before does not make the right of who has it another one.
            epoch = holder.epoch if holder.state == "accepted" else epochs.get(id_, 0)
            decision = Decision(
                0, "", holder.state, holder.public, epoch, holder.made_ns, holder.changed_ns,
                tuple(sorted(formers.get(id_, ()))), successors.get(id_), expected.get(id_, ""), tokens.get(id_),
            )  # fmt: skip
            found[id_] = Record(decision, tuple(sorted(bars.get(id_, ()))))
        return found

    def _holders(self, epochs: Mapping[str, int]) -> dict[str, _Holder]:
        """Return who has each id, or had it until it was revoked."""
        found: dict[str, _Holder] = {}
        for id_, *rest in self._rows("keys", "id, state, public, made_ns, changed_ns, epoch"):
            holder = _Holder(*rest)
            if holder.state in ("accepted", "rejected"):
                found[id_] = holder
            elif holder.state == "revoked" and holder.epoch == epochs.get(id_, 0):
                latest = found.get(id_, _NOBODY)
                if latest.state in ("", "revoked") and holder.order > latest.order:
                    found[id_] = holder
        return found

    def _rows(self, table: str, columns: str) -> list[Any]:
        query = f"SELECT {columns} FROM {table}"  # noqa: S608 - both are literals of this file
        if self._ids is None:
            return self._store.rows(query)
        return [row for id_ in self._ids for row in self._store.rows(f"{query} WHERE id = ?", id_)]
