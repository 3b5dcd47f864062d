"""Renewal: how a minion comes to another key of its own.  Pure.

    the master knows the key in use ── offer ──► answer ──► connect with the next one ──► let in: it is the one in use

A crash at any point leaves a key that the master knows: it is offered again, and where it was used already, the answer is no
and it lets the minion in all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from sylvite.auth.keyring_values import State
from sylvite.auth.keys import KeyPair
from sylvite.link.messages import Succeeded, Verdict

logger = logging.getLogger("sylvite.link")


class Renewal:
    def __init__(self, pair: KeyPair, on_renewed: Callable[[KeyPair], None]) -> None:
        self._pair, self._on_renewed = pair, on_renewed
        self._next: KeyPair | None = None
        self._is_tried = False

    def begin(self, successor: KeyPair) -> bool:
        """Say whether that is news."""
        if self._next is not None or successor.fingerprint == self._pair.fingerprint:
            return False
        self._next, self._is_tried = successor, False
        return True

    def offer(self) -> KeyPair | None:
        """Return the key that is to be offered now: the master has let us in with the one in use."""
        if self._next is None or self._is_tried:
            return None
        return self._next

    def answered(self, answer: Succeeded) -> None:
        if not answer.taken:
            logger.warning("the master has not taken our next key, or has it already: %s", answer.detail)
        self._is_tried = True

    def was_in(self) -> None:
        """A master has let us in: with the next key, where that was tried."""
        if self._next is not None and self._is_tried:
            self._pair, self._next = self._next, None
            logger.info("this minion has the key %s from now on", self._pair.fingerprint)
            self._on_renewed(self._pair)

    def key_after(self, verdict: Verdict | None) -> KeyPair:
        """Return the key to connect with next.  `verdict`: on the last connection."""
        if self._next is None or not self._is_tried:
            return self._pair
        if verdict is not None and verdict.state not in (State.ACCEPTED, State.PENDING):
            logger.error("the master does not let our next key in (%s); the one in use stays", verdict.state)
            self._next = None
            return self._pair
        return self._next
