"""Gatekeeper: who is let in, as the keyring says; and who has to go because it says something else by now."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sylvite.auth.enrolment import Asking, BadToken
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_announce import announce
from sylvite.auth.keyring_values import Identity, KeyInUse, NotAccepted, State, TooManyPending
from sylvite.client.sync_client import Client
from sylvite.link.messages import Verdict
from sylvite.link.minion_session import Judgement

RETRY_S = 10.0
"""When a minion that waits asks again: Salt's acceptance_wait_time."""
SOON_S = 1.0
FULL_S = 60.0
ACTS = {State.PENDING: "pend", State.ACCEPTED: "accept", State.REJECTED: "reject", State.DENIED: "denied"}
"""The words of `act` in a `salt/auth` event: spec/salt-events.md 3.1."""


class Gatekeeper:
    """Asks the keyring, whose calls take a millisecond, in the thread that has opened it."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._revision = keyring.revision()

    def judge(self, asking: Asking, address: str) -> tuple[Judgement, dict[str, Any]]:
        """Return what becomes of a minion that asks, and the data of the `salt/auth` event."""
        act, judgement = self._judge(asking, address, time.time_ns())
        event = {"result": act in ("pend", "accept"), "act": act, "id": asking.id, "pub": asking.public.pem}
        return judgement, event

    def _judge(self, asking: Asking, address: str, now_ns: int) -> tuple[str, Judgement]:
        try:
            key = self._keyring.ask(asking.id, asking.public, address, now_ns, asking.token)
            act = ACTS.get(key.state, "error")
            if key.state is not State.ACCEPTED:
                return act, Judgement(Verdict(key.state.value, retry_s=RETRY_S))
            if not key.counts:
                # Its event has to be on the bus first; `is_due` says so, and it is there in a moment.
                return act, Judgement(Verdict(State.PENDING.value, retry_s=SOON_S))
            identity = self._keyring.identify(asking.public.fingerprint, now_ns)
        except TooManyPending as error:
            return "full", Judgement(Verdict("full", retry_s=FULL_S, detail=str(error)))
        except (NotAccepted, KeyInUse, BadToken) as error:
            return "reject", Judgement(Verdict(State.REJECTED.value, retry_s=RETRY_S, detail=str(error)))
        return act, Judgement(Verdict(State.ACCEPTED.value, identity.epoch), identity)

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


def announce_due(keys: Path, socket: str) -> None:
    """Publish the events of changes that are due: what was accepted counts from then on.  It waits: call it in a thread.

    Raises:
        SylviteError: the bus or the keyring is away; the changes stay due.
    """
    with Keyring.open(keys) as keyring, Client.connect(socket) as bus:
        announce(keyring, bus.publish_many)
