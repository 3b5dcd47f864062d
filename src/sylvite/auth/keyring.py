"""The keyring: which key is whose, and what may be done about it.

Every move is a function; it names the key by id and fingerprint, so that what was looked at is what is moved.  It
writes, in one transaction, the record, the epoch of the id, and the event that is due (auth/keyring_announce.py).  What takes
rights away counts from then on; what gives them counts once its event is announced.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sylvite.auth import keyring_admission as admission
from sylvite.auth import keyring_records as records
from sylvite.auth.enrolment import Token
from sylvite.auth.keyring_folder import KeyFolder
from sylvite.auth.keyring_records import read_key
from sylvite.auth.keyring_store import Connect, Store, connect
from sylvite.auth.keyring_values import (
    HOLDS_ID,
    OVERLAP_S,
    Act,
    Change,
    Identity,
    Key,
    KeyInUse,
    MoveRefused,
    NotAccepted,
    State,
    check_id,
    state_after,
)
from sylvite.auth.keys import Fingerprint, PublicKey

NANOSECONDS = 1_000_000_000
FOLLOWED_NS = 300 * NANOSECONDS


class Keyring:
    """The keyring in a folder: a context manager.  It belongs to one thread; several processes may have it open."""

    def __init__(self, folder: KeyFolder, connect_: Connect = connect) -> None:
        """Take over `folder`, and close it at the end.

        Raises:
            InvalidSetting: a file of it is not ours alone.
            KeyringNotUnderstood, KeyringBusy, KeyringFailed
        """
        self.folder = folder
        self.store = Store(folder, connect_)

    @classmethod
    def open(cls, path: Path, *, make: bool = False) -> Keyring:
        """Raises: as the constructor; InvalidSetting where the folder is not there, or not ours alone."""
        folder = KeyFolder(path, make=make)
        try:
            return cls(folder)
        except BaseException:
            folder.close()
            raise

    def __enter__(self) -> Keyring:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        try:
            self.store.close()
        finally:
            self.folder.close()

    # -- Look --------------------------------------------------------------------------------------------------------

    def all_keys(self, id_: str | None = None) -> list[Key]:
        """Return all records, or those of one id: by id, then in the order in which they came."""
        if id_ is None:
            rows = self.store.rows("SELECT * FROM records ORDER BY id, made_ns")
        else:
            rows = self.store.rows("SELECT * FROM records WHERE id = ? ORDER BY made_ns", id_)
        return [read_key(row) for row in rows]

    def accepted_ids(self) -> list[str]:
        """Return the ids whose keys count; sorted."""
        return [id_ for (id_,) in self.store.rows("SELECT id FROM records WHERE counts ORDER BY id")]

    def key(self, id_: str, fingerprint: Fingerprint) -> Key:
        """Raises NoSuchKey."""
        return records.find(self.store, id_, fingerprint)

    def identify(self, fingerprint: Fingerprint, now_ns: int) -> Identity:
        """Return whose key this is: asked at each connect, and again whenever `revision` has changed.

        Raises:
            NotAccepted: nobody's that counts.
        """
        row = self.store.row("SELECT * FROM records WHERE fingerprint = ? AND state != 'denied'", fingerprint)
        if row is not None:
            key = read_key(row)
            if key.counts:
                return Identity(key.id, key.epoch, fingerprint)
            raise NotAccepted(
                fingerprint, "accepted, and not announced yet" if key.state is State.ACCEPTED else key.state
            )
        row = self.store.row("SELECT id, epoch, until_ns FROM former WHERE fingerprint = ?", fingerprint)
        if row is not None and now_ns < row[2]:
            return Identity(row[0], row[1], fingerprint, row[2])
        raise NotAccepted(fingerprint, self._state_of_other(fingerprint))

    def epoch(self, id_: str) -> int:
        """Return the epoch of an id: another one means that caches, cursors and sessions of it are another holder's."""
        return records.epoch_of(self.store, id_)

    def revision(self) -> int:
        """Return a number that is another one after every change of anybody's rights, whichever process made it."""
        return self.store.row("SELECT number FROM revision")[0]

    def problems(self) -> list[str]:
        """Return what is wrong with the file; reads all of it."""
        return self.store.problems()

    def _state_of_other(self, fingerprint: Fingerprint) -> str:
        if admission.is_barred(self.store, fingerprint):
            return State.REVOKED
        if self.store.row("SELECT 1 FROM successors WHERE fingerprint = ?", fingerprint):
            return "a successor that was not used yet"
        return State.DENIED if self.store.row("SELECT 1 FROM keys WHERE fingerprint = ?", fingerprint) else ""

    # -- Ask ---------------------------------------------------------------------------------------------------------

    def ask(self, id_: str, public: PublicKey, address: str, now_ns: int, token: Token | None = None) -> Key:
        """Take a minion that asks, who has shown that the key is its own (auth/enrolment.py); return its record.

        It is pending where nobody has its id, accepted where an operator has said so before or it brings a token,
        denied where another key has its id or the id is prepared for another one.  Asking again changes nothing.  `address`: without the port.

        Raises:
            InvalidMinionId, KeyInUse, TooManyPending
            NotAccepted: the key was revoked.
            BadToken: the token is not one for this id, or was used, or is too old.
        """
        return admission.ask(self.store, check_id(id_), public, address, now_ns, token)

    def expect(self, id_: str, fingerprint: Fingerprint, now_ns: int) -> None:
        """Accept this key as soon as it asks for this id.  It takes the place of what was expected before.

        Raises:
            InvalidMinionId
            MoveRefused: the id has an accepted or rejected key.
        """
        id_ = check_id(id_)
        with self.store.writing():
            self._check_free(id_, Act.ACCEPT)
            self.store.change("REPLACE INTO expected VALUES (?, ?, ?)", id_, fingerprint, now_ns)

    def expected(self) -> dict[str, Fingerprint]:
        """Return what is expected, by id."""
        return dict(self.store.rows("SELECT id, fingerprint FROM expected ORDER BY id"))

    def forget_expected(self, id_: str) -> bool:
        """Return whether there was something to forget."""
        with self.store.writing():
            return bool(self.store.change("DELETE FROM expected WHERE id = ?", id_))

    def add_token(self, id_: str, mac: bytes, now_ns: int, until_ns: int) -> None:
        """Keep the MAC of a token.  It takes the place of the id's former one.

        Raises:
            InvalidMinionId
            MoveRefused: the id has an accepted or rejected key.
        """
        id_ = check_id(id_)
        with self.store.writing():
            self._check_free(id_, Act.ACCEPT)
            self.store.change("REPLACE INTO tokens VALUES (?, ?, ?, ?)", id_, mac, now_ns, until_ns)

    def tokens(self) -> dict[str, int]:
        """Return until when there is a token, in ns, by id."""
        return dict(self.store.rows("SELECT id, until_ns FROM tokens ORDER BY id"))

    def forget_token(self, id_: str) -> bool:
        """Return whether there was something to forget."""
        with self.store.writing():
            return bool(self.store.change("DELETE FROM tokens WHERE id = ?", id_))

    def _check_free(self, id_: str, act: Act) -> None:
        holder = records.holder_of(self.store, id_)
        if holder is not None and holder.state is not State.PENDING:
            reason = (
                "`sylvite keys delete` frees its id" if holder.state is State.REJECTED else "revoke or delete it first"
            )
            raise MoveRefused(id_, act, holder.state, reason)

    # -- Move --------------------------------------------------------------------------------------------------------

    def accept(self, id_: str, fingerprint: Fingerprint, now_ns: int) -> Key:
        """Accept a pending or rejected key, or a denied one whose id is free by now.  It counts once it is announced.

        Raises:
            NoSuchKey, MoveRefused
            KeyInUse: another id has the key.
        """
        with self.store.writing():
            key = records.find(self.store, id_, fingerprint)
            state_after(id_, Act.ACCEPT, key.state)
            holder = records.holder_of(self.store, id_)
            if key.state is State.DENIED and holder is not None:
                raise MoveRefused(
                    id_, Act.ACCEPT, key.state, f"its id has another key, {holder.fingerprint}; revoke or delete that one first"
                )  # fmt: skip
            if records.is_used_elsewhere(self.store, id_, fingerprint):
                raise KeyInUse(id_)
            return records.accept(self.store, key, now_ns)

    def reject(self, id_: str, fingerprint: Fingerprint, now_ns: int) -> Key:
        """Reject a pending key.  The id stays taken, so that no other key can ask for it.  Raises: NoSuchKey, MoveRefused."""
        with self.store.writing():
            key = records.find(self.store, id_, fingerprint)
            state = state_after(id_, Act.REJECT, key.state)
            return records.move(self.store, key, state, Act.REJECT, key.epoch, now_ns)

    def revoke(self, id_: str, fingerprint: Fingerprint, now_ns: int) -> Key:
        """Take back an accepted key, at once and for ever, with its successor and the one that it has replaced.

        Raises:
            NoSuchKey, MoveRefused
        """
        with self.store.writing():
            key = records.find(self.store, id_, fingerprint)
            state = state_after(id_, Act.REVOKE, key.state)
            epoch = records.next_epoch(self.store, id_)
            for each in (fingerprint, *self._end_rollover(id_)):
                records.bar(self.store, each, id_, epoch, now_ns)
            return records.move(self.store, key, state, Act.REVOKE, epoch, now_ns)

    def delete(self, id_: str, fingerprint: Fingerprint, now_ns: int) -> Key:
        """Forget a key, whatever its state, and return what it was.  One that was revoked stays barred.

        Where it held the id, the id is free, and has another epoch.

        Raises:
            NoSuchKey
        """
        with self.store.writing():
            key = records.find(self.store, id_, fingerprint)
            epoch = key.epoch
            if key.state in HOLDS_ID:
                epoch = records.next_epoch(self.store, id_)
                self._end_rollover(id_)
            records.delete(self.store, key, epoch, now_ns)
            return key

    # -- Roll over ---------------------------------------------------------------------------------------------------

    def offer_successor(self, identity: Identity, public: PublicKey, now_ns: int) -> None:
        """Remember the key that a minion wants to use from now on: it has shown both.  The latest offer counts.

        Raises:
            NotAccepted: the identity does not count any more, or is that of a key which has a successor already.
            KeyInUse: the key is known already.
        """
        with self.store.writing():
            current = self.identify(identity.fingerprint, now_ns)
            if current != identity or current.replaced:
                raise NotAccepted(identity.fingerprint, "not the one that counts for its id")
            if self._is_known(public.fingerprint, but_not_next_of=identity.id):
                raise KeyInUse(identity.id)
            self.store.change(
                "REPLACE INTO successors VALUES (?, ?, ?, ?, ?)",
                identity.id, public.fingerprint, public.raw, identity.fingerprint, now_ns,
            )  # fmt: skip

    def offered_by(self, fingerprint: Fingerprint) -> str | None:
        """Return the id that means to use this key next; None where none does."""
        row = self.store.row("SELECT id FROM successors WHERE fingerprint = ?", fingerprint)
        return None if row is None else row[0]

    def succeed(self, fingerprint: Fingerprint, now_ns: int, overlap_s: float = OVERLAP_S) -> Key:
        """Take a successor at its first use; it counts once it is announced.  The former key counts for `overlap_s` more.

        Raises:
            NotAccepted: nobody has offered it, or who did does not count any more.
        """
        with self.store.writing():
            row = self.store.row("SELECT id, public, former FROM successors WHERE fingerprint = ?", fingerprint)
            if row is None:
                raise NotAccepted(fingerprint, self._state_of_other(fingerprint))
            id_, public, former = row
            held = self.identify(former, now_ns)
            key = records.find(self.store, id_, former)
            self.store.change("DELETE FROM successors WHERE id = ?", id_)
            self.store.change("DELETE FROM keys WHERE id = ? AND fingerprint = ?", id_, former)
            self.store.change(
                "INSERT INTO former VALUES (?, ?, ?, ?, ?)",
                former, id_, held.epoch, key.public.raw, now_ns + int(overlap_s * NANOSECONDS),
            )  # fmt: skip
            new = Key(id_, PublicKey(public), State.ACCEPTED, held.epoch, False, key.address, now_ns, now_ns, now_ns)
            return records.insert(self.store, new, Act.ACCEPT)

    def expire(self, now_ns: int) -> list[Key]:
        """End what has come of age: keys that were replaced are revoked, old tokens are forgotten.  Call it now and then.

        Returns the keys that do not count any more.
        """
        if not self._replaced_until(now_ns) and not self.store.row("SELECT 1 FROM tokens WHERE until_ns <= ?", now_ns):
            return []
        with self.store.writing():
            self.store.change("DELETE FROM tokens WHERE until_ns <= ?", now_ns)
            ended: list[Key] = []
            for fingerprint, id_, epoch, public in self._replaced_until(now_ns):
                self.store.change("DELETE FROM former WHERE fingerprint = ?", fingerprint)
                records.bar(self.store, fingerprint, id_, epoch, now_ns)
                key = Key(id_, PublicKey(public), State.REVOKED, epoch, False, "", now_ns, now_ns, now_ns)
                ended.append(records.insert(self.store, key, Act.REVOKE))
            return ended

    def _replaced_until(self, now_ns: int) -> list[Any]:
        """Return the keys that were replaced and whose time is over.

        Two masters would say of the same key that it has ended: the one that has replaced it does, where it is there.
        """
        return self.store.rows(
            "SELECT fingerprint, id, epoch, public FROM former LEFT JOIN followed USING (fingerprint) "
            "WHERE until_ns <= ?1 - iif(followed.fingerprint IS NULL, 0, ?2) ORDER BY until_ns",
            now_ns, FOLLOWED_NS,
        )  # fmt: skip

    def _end_rollover(self, id_: str) -> Sequence[Fingerprint]:
        """Forget successor and former key of an id, and return them."""
        found = self.store.rows(
            "SELECT fingerprint FROM successors WHERE id = ? UNION ALL SELECT fingerprint FROM former WHERE id = ?",
            id_,
            id_,
        )
        self.store.change("DELETE FROM successors WHERE id = ?", id_)
        self.store.change("DELETE FROM former WHERE id = ?", id_)
        return [fingerprint for (fingerprint,) in found]

    def _is_known(self, fingerprint: Fingerprint, *, but_not_next_of: str) -> bool:
        known: Any = self.store.row(
            "SELECT 1 FROM keys WHERE fingerprint = ?1 UNION ALL SELECT 1 FROM barred WHERE fingerprint = ?1 "
            "UNION ALL SELECT 1 FROM former WHERE fingerprint = ?1 "
            "UNION ALL SELECT 1 FROM successors WHERE fingerprint = ?1 AND id != ?2",
            fingerprint, but_not_next_of,
        )  # fmt: skip
        return known is not None

    # -- Announce ----------------------------------------------------------------------------------------------------

    def due(self, count: int) -> list[Change]:
        """Return the oldest changes whose event was not announced."""
        return [
            Change(number, Act(act), id_, epoch, PublicKey(public), at_ns)
            for number, act, id_, epoch, public, at_ns in self.store.rows(
                "SELECT number, act, id, epoch, public, at_ns FROM due ORDER BY number LIMIT ?", count
            )
        ]

    def due_count(self) -> int:
        return self.store.row("SELECT count(*) FROM due")[0]

    def announced(self, number: int) -> None:
        """Say that the events of all changes up to this one are synced on the bus."""
        with self.store.writing():
            self.store.change("DELETE FROM due WHERE number <= ?", number)
            self.store.change("UPDATE revision SET number = number + 1")
