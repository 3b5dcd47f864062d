"""Thought: a predicate that may take long on a batch, so that it is worked out in another thread.

The loop goes on meanwhile, for everybody else: the interpreter lets both have their turns, of five milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sylvite.broker.selection import Selection
from sylvite.core.batch import Batch
from sylvite.core.predicate import Predicate

if TYPE_CHECKING:
    from sylvite.broker.subscription import Subscription

STEPS_AT_ONCE = 50_000
"""What may take more is worked out in another thread; some ten milliseconds."""
STEPS_OF_FLUSH = 100_000
"""Live subscriptions leave as much of it as one of those behind may take, so that these come on too."""


class Steps:
    """What all predicates together may still take before the loop looks at its sockets again."""

    def __init__(self) -> None:
        self.left = STEPS_OF_FLUSH

    def begin(self) -> None:
        self.left = STEPS_OF_FLUSH

    def pay(self, steps: int, *, leave: int = 0) -> bool:
        """Say whether there are so many left, and `leave` beside them; take them."""
        if steps + leave > self.left:
            return False
        self.left -= steps
        return True


def price(predicate: Predicate, batch: Batch) -> int:
    return predicate.price(len(batch.raw), batch.count)


class Thought:
    """The arguments of `Selection.some`; after `run`, in `found` what that gave, or in `error` what it has raised."""

    def __init__(
        self,
        subscription: Subscription,
        selection: Selection,
        numbers: Sequence[int],
        start: int,
        end: int,
        now_ns: int,
    ) -> None:
        self.subscription, self.selection = subscription, selection
        self.found: tuple[bytes, int] | None = None
        self.error: Exception | None = None
        self._numbers, self._start, self._end, self._now_ns = numbers, start, end, now_ns

    def run(self) -> None:
        try:
            self.found = self.selection.some(
                self._numbers, self.subscription.predicate, self._start, self._end, self._now_ns
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is handed on
            self.error = error
