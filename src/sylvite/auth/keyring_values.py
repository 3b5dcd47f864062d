"""Values of the keyring: states, the moves between them, ids, records, changes, errors.  No I/O, no clock.

    asked, id free ────────────► pending ── accept ──► accepted ── revoke ──► revoked
    asked, pre-seeded or token ──────────────────────────▲  ▲
                                 pending ── reject ──► rejected ── accept ──┘
    asked, id has another key ─► denied

`delete` takes a record away from any of them.  `pending`, `accepted` and `rejected` hold their id: another key that asks
for it is denied, and never takes its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NewType

from sylvite.auth.keys import Fingerprint, PublicKey
from sylvite.errors import InvalidInput, SylviteError

MinionId = NewType("MinionId", str)

ID_CHARACTERS_MAX = 192
"""So that `salt/job/<jid>/prog/<id>/<number>` stays within the length of a tag."""
PENDING_MAX = 1000
PENDING_PER_ADDRESS_MAX = 10
UNSEEN_S = 900
"""Who waits asks again within seconds.  Where there is no room, a record that was not seen for so long makes some."""
OVERLAP_S = 24 * 3600
"""How long a key that was replaced may still be used, from the first use of its successor."""

_id = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_@+-]|\.(?!\.|$))*", re.ASCII)


class State(StrEnum):
    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DENIED = "denied"
    REVOKED = "revoked"


HOLDS_ID = (State.PENDING, State.ACCEPTED, State.REJECTED)
STRANGERS = (State.PENDING, State.DENIED)
"""What anybody can bring about by asking: bounded by the two limits."""


class Act(StrEnum):
    """What is done to a record; the words of `act` in a `salt/key` event."""

    PEND = "pending"
    DENY = "denied"
    ACCEPT = "accepted"
    REJECT = "rejected"
    REVOKE = "revoked"
    DELETE = "delete"


MOVES: Mapping[Act, Mapping[State, State]] = {
    Act.ACCEPT: {State.PENDING: State.ACCEPTED, State.REJECTED: State.ACCEPTED, State.DENIED: State.ACCEPTED},
    Act.REJECT: {State.PENDING: State.REJECTED},
    Act.REVOKE: {State.ACCEPTED: State.REVOKED},
}
"""The moves of an operator.  Accepting a denied key needs its id to be free: see `Keyring.accept`."""
_INSTEAD: Mapping[tuple[Act, State], str] = {
    (Act.ACCEPT, State.ACCEPTED): "it is accepted already",
    (Act.ACCEPT, State.REVOKED): "a revoked key never comes back; the minion has to make a new one",
    (Act.REJECT, State.REJECTED): "it is rejected already",
    (Act.REJECT, State.ACCEPTED): "an accepted key is taken back with `revoke`",
    (Act.REJECT, State.DENIED): "a denied key is refused already; `delete` forgets it",
    (Act.REVOKE, State.REVOKED): "it is revoked already",
    (Act.REVOKE, State.PENDING): "it was never accepted; use `reject`",
}


class InvalidMinionId(InvalidInput):
    code = "invalid_minion_id"

    def __init__(self, id_: str, reason: str) -> None:
        shown = ascii(id_[:80])
        super().__init__(f"{shown} cannot be the id of a minion: {reason}")
        self.id, self.reason = id_[:80], reason


class NoSuchKey(SylviteError):
    code = "no_such_key"


class MoveRefused(SylviteError):
    """There is no such move from the state that the key is in, or its id is another key's."""

    code = "move_refused"

    def __init__(self, id_: str, act: Act, state: State, reason: str) -> None:
        super().__init__(f"the key of {id_} is {state}: {reason}")
        self.id, self.act, self.state, self.reason = id_, act, state, reason


class NotAccepted(SylviteError):
    """A key that counts for nothing, or not any more, or not yet: `state` says which; empty where nobody knows it."""

    code = "not_accepted"

    def __init__(self, fingerprint: Fingerprint, state: str) -> None:
        super().__init__(f"the key {fingerprint} is {state or 'not known'}")
        self.fingerprint, self.state = fingerprint, state


class KeyInUse(SylviteError):
    """The key is another id's: one key is one minion."""

    code = "key_in_use"

    def __init__(self, id_: str) -> None:
        super().__init__(f"this key is known under another id already; {id_} needs a key of its own")
        self.id = id_


class TooManyPending(SylviteError):
    """The limit on keys that wait is reached, and all of them were seen lately."""

    code = "too_many_pending"


class KeyringBusy(SylviteError):
    """Another process writes for too long; the same call may succeed later."""

    code = "keyring_busy"


class KeyringFailed(SylviteError):
    """The disk, or SQLite, failed; nothing was changed."""

    code = "keyring_failed"


class KeyringNotUnderstood(SylviteError):
    """The file is damaged, of another program, or of a newer version.  It is left as it is."""

    code = "keyring_not_understood"


def check_id(id_: str) -> MinionId:
    """Return the id.

    It is ASCII, so that no two look alike; no part of it means something in a path, a tag, a glob or a command line.

    Raises:
        InvalidMinionId
    """
    if not id_:
        raise InvalidMinionId(id_, "it needs at least one character")
    if len(id_) > ID_CHARACTERS_MAX:
        raise InvalidMinionId(id_, f"it has more than {ID_CHARACTERS_MAX} characters")
    if _id.fullmatch(id_) is None:
        raise InvalidMinionId(
            id_, "it may have letters, digits and . _ - @ + (no accents), begins with a letter or a digit, and no dot follows a dot or ends it",
        )  # fmt: skip
    return MinionId(id_)


def state_after(id_: str, act: Act, state: State) -> State:
    """Return where a move leads.

    Raises:
        MoveRefused: there is no such move.
    """
    try:
        return MOVES[act][state]
    except KeyError:
        reason = _INSTEAD.get((act, state), f"it cannot become {act}")
        raise MoveRefused(id_, act, state, reason) from None


@dataclass(frozen=True, slots=True)
class Key:
    """A record: one key that was shown under one id.

    `counts`: it is accepted, and its event has been announced.  `epoch`: of the id, when the record was last changed; a
    session, a cursor or a cache belongs to (id, epoch).  `address`: where it asked from last; empty where it never did.
    """

    id: MinionId
    public: PublicKey
    state: State
    epoch: int
    counts: bool
    address: str
    made_ns: int
    changed_ns: int
    seen_ns: int

    @property
    def fingerprint(self) -> Fingerprint:
        return self.public.fingerprint


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is at the other end of a session: what a key that counts proves.

    `replaced`: the key has a successor, and counts until `until_ns`.
    """

    id: MinionId
    epoch: int
    fingerprint: Fingerprint
    until_ns: int | None = None

    @property
    def replaced(self) -> bool:
        return self.until_ns is not None


@dataclass(frozen=True, slots=True)
class Change:
    """A change whose event is due.  `number`: their order."""

    number: int
    act: Act
    id: MinionId
    epoch: int
    public: PublicKey
    at_ns: int

    TAG = "salt/key"

    def data(self) -> dict[str, object]:
        """Return the data of the event, in Salt's shape.  It is the same each time: who gets it twice can tell."""
        moment = datetime.fromtimestamp(self.at_ns // 1_000_000_000, UTC).replace(
            microsecond=self.at_ns // 1000 % 1_000_000
        )
        data: dict[str, object] = {"result": True, "act": self.act.value, "id": self.id}
        if self.act is not Act.DELETE:
            data["pub"] = self.public.pem
        return {**data, "_stamp": moment.isoformat(timespec="microseconds")}
