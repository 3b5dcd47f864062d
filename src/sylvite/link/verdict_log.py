"""The verdict log: what a minion logs of what masters think of its key, with what is to be done; once, and not each time it asks."""

from __future__ import annotations

import logging

from sylvite.auth.keyring_values import State
from sylvite.link.messages import Verdict

ADVICE = {
    State.PENDING: (
        "its key waits there to be accepted: `sylvite keys finger --minion` here and `sylvite keys finger {minion}` on the "
        "master have to show the same; then `sylvite keys accept {minion}`"
    ),
    State.DENIED: (
        "its key is denied, because another one has the id {minion} there: give this machine another id, or look at "
        "`sylvite keys list {minion}` on the master"
    ),
    State.REJECTED: "its key is rejected: `sylvite keys accept {minion} --include-rejected` on the master lets it in after all",
    State.REVOKED: "its key is revoked, for ever: it needs a new one, and pki_dir has the old one",
}
logger = logging.getLogger("sylvite.link")


class VerdictLog:
    def __init__(self, minion: str) -> None:
        self._minion = minion
        self._said: dict[str, tuple[str, str]] = {}

    def tell(self, master: str, verdict: Verdict) -> None:
        """Log a verdict that did not let us in, unless this master has said the same the last time."""
        said = (str(verdict.state), verdict.detail)
        is_new, self._said[master] = self._said.get(master) != said, said
        advice = next((text for state, text in ADVICE.items() if state == verdict.state), "it is turned away")
        text = advice.format(minion=self._minion) + (f" ({verdict.detail})" if verdict.detail else "")
        logger.log(
            logging.WARNING if is_new else logging.DEBUG, "minion %s at the master %s: %s", self._minion, master, text
        )

    def was_in(self) -> None:
        """A master has let us in."""
        if self._said:
            logger.info("minion %s is let in", self._minion)
        self._said.clear()
