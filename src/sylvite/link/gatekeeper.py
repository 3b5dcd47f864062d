"""Gatekeeper: who is let in, as the keyring says; and who has to go because it says something else by now."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sylvite.auth.enrolment import Asking, BadToken
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_announce import announce
from sylvite.auth.keyring_values import (
    Identity,
    KeyInUse,
    KeyringBusy,
    KeyringFailed,
    NotAccepted,
    State,
    TooManyPending,
)
from sylvite.auth.keys import PublicKey
from sylvite.client.sync_client import Client
from sylvite.link.messages import Verdict
from sylvite.link.minion_session import Judgement

RETRY_S = 10.0
"""When a minion that waits asks again: Salt's acceptance_wait_time."""
SOON_S = 1.0
FULL_S = 60.0
logger = logging.getLogger("sylvite.link")
ACTS = {State.PENDING: "pend", State.ACCEPTED: "accept", State.REJECTED: "reject", State.DENIED: "denied"}
"""The words of `act` in a `salt/auth` event: spec/salt-events.md 3.1."""


class Gatekeeper:
    """Asks the keyring, which waits for the disk: in the thread that has opened it (gate.py)."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._revision = keyring.revision()
        self._holders_revision = -1
        self._looks_again = False

    def judge(self, asking: Asking, address: str) -> tuple[Judgement, dict[str, Any]]:
        """Return what becomes of a minion that asks, and the data of the `salt/auth` event."""
        act, judgement = self._judge(asking, address, time.time_ns())
        return judgement, auth_event(asking, act)

    def _judge(self, asking: Asking, address: str, now_ns: int) -> tuple[str, Judgement]:
        try:
            if (identity := self._known(asking, now_ns)) is not None:
                return "accept", Judgement(Verdict(State.ACCEPTED.value, identity.epoch), identity)
            if self._keyring.offered_by(asking.public.fingerprint) == asking.id:
                key = self._keyring.succeed(asking.public.fingerprint, now_ns)
            else:
                key = self._keyring.ask(asking.id, asking.public, address, now_ns, asking.token)
        except TooManyPending as error:
            return "full", Judgement(Verdict("full", retry_s=FULL_S, detail=str(error)))
        except (NotAccepted, KeyInUse, BadToken) as error:
            return "reject", Judgement(Verdict(State.REJECTED.value, retry_s=RETRY_S, detail=str(error)))
        except (KeyringBusy, KeyringFailed) as error:
            logger.error("nobody can be let in at the moment: %s", error)
            return "error", Judgement(Verdict("error", retry_s=RETRY_S, detail="the master cannot look keys up"))
        act = ACTS.get(key.state, "error")
        if key.state is State.ACCEPTED:
            # Its event has to be on the bus first; `is_due` says so, and it is there in a moment.
            return act, Judgement(Verdict(State.PENDING.value, retry_s=SOON_S))
        return act, Judgement(Verdict(key.state.value, retry_s=RETRY_S))

    def _known(self, asking: Asking, now_ns: int) -> Identity | None:
        try:
            identity = self._keyring.identify(asking.public.fingerprint, now_ns)
        except NotAccepted:
            return None
        return identity if identity.id == asking.id else None

    def offer(self, identity: Identity, successor: PublicKey) -> str:
        """Remember the key that a minion wants to use next; return why that cannot be, or nothing."""
        try:
            self._keyring.offer_successor(identity, successor, time.time_ns())
        except (NotAccepted, KeyInUse, KeyringBusy, KeyringFailed) as error:
            return str(error)
        return ""

    def ended(self, identities: Sequence[Identity]) -> list[Identity]:
        """Return those that do not count any more, where anybody's rights have changed since the last call."""
        self._keyring.expire(time.time_ns())
        # Twice after each change: one that was judged before it may be on its way in, and not among these yet.
        has_changed = self.changed()
        looks, self._looks_again = has_changed or self._looks_again, has_changed
        return [identity for identity in identities if not self.still_counts(identity)] if looks else []

    def new_holders(self, *, again: bool) -> frozenset[str] | None:
        """Return the ids that have an accepted key; None where nothing has changed since the last call, unless `again`."""
        revision = self._keyring.revision()
        if revision == self._holders_revision and not again:
            return None
        self._holders_revision = revision
        return frozenset(key.id for key in self._keyring.all_keys() if key.state is State.ACCEPTED)

    def is_due(self) -> bool:
        """Say whether there are changes whose event is not on the bus yet."""
        return self._keyring.due_count() > 0

    def changed(self) -> bool:
        """Say whether anybody's rights have changed since the last call."""
        revision = self._keyring.revision()
        changed, self._revision = revision != self._revision, revision
        return changed

    def still_counts(self, identity: Identity) -> bool:
        try:
            return self._keyring.identify(identity.fingerprint, time.time_ns()) == identity
        except NotAccepted:
            return False


def auth_event(asking: Asking, act: str) -> dict[str, Any]:
    """Return the data of a `salt/auth` event."""
    return {"result": act in ("pend", "accept"), "act": act, "id": asking.id, "pub": asking.public.pem}


def announce_due(keys: Path, socket: str) -> None:
    """Publish the events of changes that are due: what was accepted counts from then on.  It waits: call it in a thread.

    Raises:
        SylviteError: the bus or the keyring is away; the changes stay due.
    """
    with Keyring.open(keys) as keyring, Client.connect(socket) as bus:
        announce(keyring, bus.publish_many)
