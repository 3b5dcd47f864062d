"""What a consumer believes of a log, and how far that is from the truth."""

from __future__ import annotations

from collections.abc import Mapping

from sylvite.client.sync_subscription import Subscription
from sylvite.core.event import Event, Gap

Content = Mapping[int, tuple[int, int]]
"""From the offset to epoch and number of each event."""


class View:
    """`known`: what it has been given, but for what a reset has taken back."""

    def __init__(self, name: str, *, remainder: int | None = None) -> None:
        """`remainder`: it gets only the events whose number leaves that, divided by two."""
        self.name = name
        self.known: dict[int, tuple[int, int]] = {}
        self.start = 0
        self.resets: list[Gap] = []
        self.other_gaps: list[Gap] = []
        self.wrong = 0
        self.has_ended = False
        self._remainder = remainder

    def gap(self, gap: Gap) -> None:
        if gap.reason != "reset":
            self.other_gaps.append(gap)
            return
        self.resets.append(gap)
        self.known = {offset: seen for offset, seen in self.known.items() if offset < gap.next}

    def take(self, event: Event) -> None:
        seen = (event.epoch, event.data["n"])
        self.wrong += self.known.setdefault(event.offset, seen) != seen

    def read(self, subscription: Subscription, count: int, within_s: float) -> Event:
        """Take so many; return the last one."""
        event: Event | None = None
        for _ in range(count):
            event = subscription.next(within_s)
            assert event is not None, f"{self.name}: nothing comes"
            self.take(event)
        assert event is not None
        return event

    def read_to_end(self, subscription: Subscription, within_s: float) -> None:
        """Up to the event load/end, which no other view counts."""
        while (event := subscription.next(within_s)) is not None:
            if event.tag == "load/end":
                self.has_ended = True
                return
            self.take(event)

    def is_history_of(self, content: Content) -> bool:
        """Say whether what it knows last is in that log."""
        last = max(self.known, default=None)
        return last is None or content.get(last) == self.known[last]

    def missed(self, content: Content) -> int:
        return sum(offset not in self.known for offset in self._wanted(content))

    def false(self, content: Content) -> int:
        """Count what it takes for true, and is not in the log."""
        return self.wrong + sum(content.get(offset) != seen for offset, seen in self.known.items())

    def _wanted(self, content: Content) -> list[int]:
        return [
            offset
            for offset, (_, number) in content.items()
            if offset >= self.start and (self._remainder is None or number % 2 == self._remainder)
        ]
