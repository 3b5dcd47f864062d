"""What the two subscriptions share: events handed out one by one, gaps, and the durable cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from sylvite.client.core import ClientCore, Feed
from sylvite.core.event import Event, Gap, Position
from sylvite.core.pattern import Filter, parse_patterns
from sylvite.errors import EventsMissed, InvalidSetting

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


def check_ack(ack: str) -> None:
    """Raises InvalidSetting."""
    if ack not in ("auto", "manual"):
        raise InvalidSetting("ack", ack, "is not a way to acknowledge; there are auto and manual")


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
        self.last: Event | None = None
        self._core = core
        self._send = send
        self._automatic = ack == "auto" and bool(feed.cursor)
        self._on_gap = on_gap
        self._until_end = until_end
        self._items: Iterator[Event | Gap] = iter(())
        self._done = 0

    @property
    def position(self) -> Position | None:
        return None if self.last is None else self.last.position

    @property
    def has_ended(self) -> bool:
        feed = self.feed
        return feed.closed or (self._until_end and feed.stands and not feed.waiting and feed.wanted >= feed.end)

    def raise_error(self) -> None:
        """Raises SylviteError: why the subscription has ended, unless it just ended."""
        if self.feed.error is not None:
            raise self.feed.error

    def take(self) -> Event | None:
        """Return the next event that is here, or None where more has to arrive first.

        Raises:
            EventsMissed: a gap, and nobody else was asked to take it.
        """
        while True:
            for item in self._items:
                if type(item) is Event:
                    if self._until_end and item.offset >= self.feed.end:
                        self.feed.waiting.clear()
                        self._items = iter(())
                        return None
                    self.last = item
                    return item
                assert isinstance(item, Gap)
                self._miss(item)
            if self._automatic and self.last is not None:
                # All of the last delivery has been handed out, and the next one is asked for: it is done.
                self.acknowledge(self.last)
            if not self.feed.waiting:
                return None
            self._items = iter(self._core.take_events(self.feed))
            self._send()

    def _miss(self, gap: Gap) -> None:
        self.gaps += 1
        if self._on_gap is None:
            raise EventsMissed(gap)
        self._on_gap(gap)

    def acknowledge(self, event: Event) -> None:
        """This event and all before it are done."""
        if event.offset + 1 > self._done:
            self._done = event.offset + 1
            self._core.advance(self.feed, self._done)
            self._send()

    def finish(self, *, clean: bool) -> None:
        """The caller is leaving; without an error, what was handed out last is done too."""
        if clean and self._automatic and self.last is not None:
            self.acknowledge(self.last)
        self._core.unsubscribe(self.feed)
        self._send()
