"""Patience: how long a minion waits before it turns to a master again, and when it gives up.  Pure."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sylvite.auth.keyring_values import State
from sylvite.link.messages import Verdict

WAIT_S_MIN = 0.05
TAKEN_OVER_S = 30.0
"""Two machines with one key would else take each other's connection for ever, as fast as they can."""
Chance = Callable[[], float]
"""Returns a number from 0 up to 1."""


class PatienceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Named as the options of a minion."""

    recon_default_s: float = 1.0
    recon_max_s: float = 10.0
    recon_randomize: bool = True
    acceptance_wait_time_s: float = 10.0
    acceptance_wait_time_max_s: float = 0.0
    rejected_retry: bool = True
    wrong_master_retry: bool = True


class Patience:
    def __init__(self, settings: PatienceSettings, chance: Chance, masters: int = 1) -> None:
        """`masters`: how many there are to be asked."""
        self._settings, self._chance, self._masters = settings, chance, masters
        self._failures = self._asked = self._rejections = self._strangers = 0

    @property
    def gives_up(self) -> bool:
        """Say whether every master, one after the other, has rejected the key or was a wrong one, and that is the end."""
        is_rejected = not self._settings.rejected_retry and self._rejections >= self._masters
        return is_rejected or (not self._settings.wrong_master_retry and self._strangers >= self._masters)

    def was_in(self) -> None:
        """A master has let us in."""
        self._failures = self._asked = self._rejections = self._strangers = 0

    def after_loss(self, *, taken_over: bool = False, wrong_master: bool = False) -> float:
        """Return how long to wait where a connection has ended, or was not made."""
        settings, failures = self._settings, self._failures
        self._failures += 1
        self._strangers = self._strangers + 1 if wrong_master else 0
        if taken_over:
            return TAKEN_OVER_S * (1 + self._chance())
        # It grows from the first time on, also where it is by chance: of many minions that have lost their master at
        # once, not two come back together, and one that stays away is not asked for every second by all of them.
        most = min(settings.recon_max_s, settings.recon_default_s * (2 ** min(failures, 30) - 1))
        if settings.recon_randomize:
            most = min(settings.recon_max_s, settings.recon_default_s * 2 ** min(failures, 30)) * self._chance()
        return settings.recon_default_s + most

    def after_verdict(self, verdict: Verdict) -> float:
        """Return how long to wait where the master did not let us in."""
        settings = self._settings
        self._asked += 1
        self._strangers = 0
        self._rejections = self._rejections + 1 if verdict.state == State.REJECTED else 0
        wait_s = settings.acceptance_wait_time_s
        if 0 < verdict.retry_s < wait_s and verdict.state == State.PENDING:
            return verdict.retry_s  # It is accepted in a moment.
        if settings.acceptance_wait_time_max_s:
            wait_s = min(wait_s * self._asked, max(wait_s, settings.acceptance_wait_time_max_s))
        if verdict.state not in (State.PENDING, State.REJECTED, State.DENIED):
            wait_s = max(wait_s, verdict.retry_s)
        return max(WAIT_S_MIN, wait_s)
