"""What the two subscriptions share: events handed out one by one, gaps, and the durable cursor."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from operator import length_hint
from typing import Literal

from sylvite.client.core import ClientCore
from sylvite.client.feed import Feed
from sylvite.core.event import Event, Gap, Position
from sylvite.core.pattern import Filter, parse_patterns
from sylvite.errors import EventsMissed, InvalidSetting, NoSuchOffset, OffsetGone

CREDIT_BYTES_MAX = 16 * 1024 * 1024

Patterns = str | Iterable[str]
AckMode = Literal["auto", "manual"]


def _texts(patterns: Patterns) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


def read_filter(
    patterns: Iterable[str],
    *,
    where: str | None,
    exclude: Patterns,
    startswith: Patterns = (),
    endswith: Patterns = (),
    find: Patterns = (),
    regex: Patterns = (),
    fnmatch: Patterns = (),
    exact: Patterns = (),
) -> Filter:
    """Return the filter that the arguments of `subscribe` say.

    Raises:
        InvalidPattern, InvalidExpression: before anything is asked of the broker.
    """
    typed = parse_patterns(patterns)
    found = Filter(
        startswith=typed.startswith + _texts(startswith),
        endswith=_texts(endswith),
        find=_texts(find),
        regex=_texts(regex),
        fnmatch=typed.fnmatch + _texts(fnmatch),
        exact=_texts(exact),
        exclude=_texts(exclude),
        where=where,
    )
    # Said here, where the caller sees it at once; the broker checks again.
    found.matcher()
    if where is not None:
        from sylvite.core.predicate import compile_predicate  # loaded by those who need it

        compile_predicate(where)
    return found


def check_options(ack: str, credit_bytes: int) -> None:
    """Raises InvalidSetting."""
    if ack not in ("auto", "manual"):
        raise InvalidSetting("ack", ack, "is not a way to acknowledge; there are auto and manual")
    if not 0 < credit_bytes <= CREDIT_BYTES_MAX:
        raise InvalidSetting("credit_bytes", credit_bytes, f"must be between 1 and {CREDIT_BYTES_MAX}")


def raise_gone(gap: Gap) -> None:
    """Raises NoSuchOffset, OffsetGone: what a gap means to somebody who asked for one event."""
    if gap.reason == "retention":
        raise OffsetGone(gap.first, gap.next)
    raise NoSuchOffset(gap.first, gap.next)


class Incoming:
    """One subscription's events, as far as they have arrived.  `send` is called when the core has something to say."""

    def __init__(
        self,
        core: ClientCore,
        feed: Feed,
        send: Callable[[], None],
        *,
        ack: AckMode,
        on_gap: Callable[[Gap], None] | None,
        until_end: bool,
    ) -> None:
        self.feed = feed
        self.gaps = 0
        self._core = core
        self._send = send
        self._automatic = ack == "auto" and bool(feed.cursor)
        self._manual = ack == "manual" and bool(feed.cursor)
        self._on_gap = on_gap
        self._until_end = until_end
        self._delivery: list[Event | Gap] = []
        self._before: Event | None = None
        self.items: Iterator[Event | Gap] = iter(self._delivery)
        """What is still to be handed out of the delivery that was taken last."""
        self.are_events = True
        """Whether there is no gap among them."""

    @property
    def last(self) -> Event | None:
        """The event handed out last.  Worked out when it is wanted, which is less often than for every event."""
        handed_out = self._delivery[: len(self._delivery) - length_hint(self.items)]
        return next((item for item in reversed(handed_out) if isinstance(item, Event)), self._before)

    @property
    def has_ended(self) -> bool:
        feed = self.feed
        if feed.waiting or length_hint(self.items):
            return False
        return feed.closed or (self._until_end and feed.stands and feed.wanted >= feed.end)

    def has_more(self) -> bool:
        return length_hint(self.items) > 0 or self.feed.has_more()

    def end(self) -> None:
        """Nothing more will be handed out.  Raises SylviteError: why the broker has ended it, if it has."""
        if self.feed.error is not None:
            raise self.feed.error
        if not self._manual:  # Where it is manual, the last events may still be acknowledged.
            self.finish(clean=True)

    def take(self) -> Event | None:
        """Return the next event that is here, or None where more has to arrive first.

        Raises:
            EventsMissed: a gap, and nobody else was asked to take it.
        """
        while True:
            for item in self.items:
                if isinstance(item, Event):
                    return item
                self.miss(item)
            if not self.load():
                return None

    def load(self) -> bool:
        """Make `items` the next delivery, all of the one before it being handed out; return False where there is none."""
        feed = self.feed
        if self._automatic and (last := self.last) is not None:
            # The one after it is asked for: so it is done.
            self.acknowledge(last)
        if not feed.waiting:
            return False
        items = self._core.take_events(feed)
        if self._until_end and feed.wanted > feed.end:
            items = [item for item in items if (item.first if isinstance(item, Gap) else item.offset) < feed.end]
            feed.waiting.clear()
        self._hold(items)
        self._send()
        return True

    def _hold(self, items: list[Event | Gap]) -> None:
        self._before = self.last
        deque(self.items, maxlen=0)  # Whoever iterates over the former ones finds none left.
        self._delivery = items
        self.items = iter(items)
        self.are_events = Gap not in set(map(type, items))

    def miss(self, gap: Gap) -> None:
        """A gap comes before the next event.  Raises EventsMissed: nobody else was asked to take it."""
        self.gaps += 1
        if self._on_gap is None:
            raise EventsMissed(gap)
        self._on_gap(gap)

    def acknowledge(self, event: Event | int) -> None:
        """This event, or the one at this offset, and all before it are done."""
        offset = event if isinstance(event, int) else event.offset
        self._core.advance(self.feed, offset + 1)
        self._send()

    def finish(self, *, clean: bool) -> None:
        """The caller is leaving; without an error, what was handed out last is done too."""
        if clean and self._automatic and (last := self.last) is not None:
            self.acknowledge(last)
        self._hold([])
        self._core.unsubscribe(self.feed)
        self._send()


class Standing:
    """What a subscription shows of how far it is."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    @property
    def position(self) -> Position | None:
        """Of the event handed out last; `since=` takes it."""
        last = self._incoming.last
        return None if last is None else last.position

    @property
    def gaps(self) -> int:
        """How many gaps there were."""
        return self._incoming.gaps

    @property
    def end(self) -> int:
        """The next offset of the log when the subscription was made."""
        return self._incoming.feed.end

    @property
    def ended(self) -> bool:
        """Whether there will be no event any more."""
        return self._incoming.has_ended

    def has_more(self) -> bool:
        """Say whether something is here to be looked at: an event or a gap, or that there will be none any more."""
        return self._incoming.has_more()
