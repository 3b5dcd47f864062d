"""Readers: all subscriptions, which of them wants what, where each starts, and the durable cursors they hold."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from sylvite.broker.clock import Clock
from sylvite.broker.selection import Selection
from sylvite.broker.settings import Limits
from sylvite.broker.subscription import Subscription
from sylvite.broker.thought import STEPS_AT_ONCE, Steps, Thought
from sylvite.core.batch import Batch
from sylvite.core.event import Gap
from sylvite.core.router import Router
from sylvite.core.tag import unfit_in
from sylvite.errors import CursorInUse, EventLogError, InvalidInput, NoSuchOffset, NotAllowed, Overloaded, SylviteError
from sylvite.eventlog.eventlog import EventLog
from sylvite.wire.messages import Start, Subscribe, Subscribed

if TYPE_CHECKING:
    from sylvite.broker.connection import Connection

CURSOR_NAME_CHARACTERS_MAX = 128
CATCH_UP_STEPS = 16
logger = logging.getLogger("sylvite.broker")


class Readers:
    """`wanted` is called when a subscription could go on.  `thoughts`: what has to be worked out in another thread."""

    def __init__(self, log: EventLog, limits: Limits, clock: Clock, wanted: Callable[[], None]) -> None:
        self._log, self._limits, self._clock, self._wanted = log, limits, clock, wanted
        self._router: Router[Subscription] = Router()
        self._behind: dict[Subscription, None] = {}
        self._held_back: dict[Subscription, None] = {}
        self._stuck: dict[Subscription, None] = {}
        self._cursor_holders: dict[str, Subscription] = {}
        self.thoughts: deque[Thought] = deque()
        self.steps = Steps()

    @property
    def are_behind(self) -> bool:
        return bool(self._behind)

    @property
    def want_sync(self) -> bool:
        """Say whether there are some that get only what is synced."""
        return bool(self._held_back)

    # -- Come and go -----------------------------------------------------------------------------------------------

    def subscribe(self, connection: Connection, request: Subscribe) -> None:
        """Raises SylviteError: no subscription was made."""
        access, log = connection.access, self._log
        assert access is not None
        matches = request.filter.matcher()
        prefixes = request.filter.prefixes()

        def permitted(tag: str) -> bool:
            return matches(tag) and access.may_subscribe(tag)

        wants = matches if access.reads_all else permitted
        if not access.reads_all:
            prefixes = None
        if request.cursor:
            self._check_cursor(connection, request.cursor)
        start, gap = self._start(request)
        subscription = Subscription(
            connection, request, wants, log.reader(start), self.steps, reads_all=access.reads_all
        )
        connection.subscriptions[request.subscription] = subscription
        connection.send(Subscribed(request.subscription, start, log.end, log.epoch_before(start)))
        if gap is not None:
            subscription.miss(gap)
        if request.cursor:
            self._cursor_holders[request.cursor] = subscription
            known = log.cursors.find(request.cursor)
            if known is not None and request.start.at == "resume" and gap is None:
                # The reader goes on behind what it has received; what is done is what it had acknowledged before.
                subscription.advanced = min(known.offset, start)
            log.cursors.put(subscription.cursor_at(log, connection.peer.name, self._clock.now_ns()))
        if subscription.held_back:
            self._held_back[subscription] = None
        else:
            self._router.add(subscription, wants, prefixes)
        self.maybe_behind(subscription)

    def _check_cursor(self, connection: Connection, name: str) -> None:
        cursors, owner = self._log.cursors, connection.peer.name
        known = cursors.find(name)
        if len(name) > CURSOR_NAME_CHARACTERS_MAX:
            raise InvalidInput(f"the name of a cursor has at most {CURSOR_NAME_CHARACTERS_MAX} characters")
        if unfit := unfit_in(name):
            raise InvalidInput(f"the name of a cursor: {unfit}")
        if name in self._cursor_holders:
            raise CursorInUse(name)
        if known is not None and known.owner != owner and not connection.peer.is_owner:
            raise NotAllowed(f"cursor {name!r} belongs to {known.owner}")
        if known is None:
            limit = self._limits.cursors_per_user
            if sum(1 for cursor in cursors if cursor.owner == owner) >= limit:
                raise Overloaded(f"{owner} has {limit} cursors, its limit; delete some with `sylvite cursors delete`")

    def _start(self, request: Subscribe) -> tuple[int, Gap | None]:
        """Return the offset that a subscription starts at, and the gap before it, if there is one."""
        known = self._log.cursors.find(request.cursor) if request.cursor else None
        if request.start.at == "cursor" and known is not None:
            return self._log.resume(known.epoch, known.offset)
        return self.place(request.start)

    def place(self, start: Start) -> tuple[int, Gap | None]:
        """Return the offset that a Start means.  Raises InvalidInput, NoSuchOffset; EventLogError: it cannot be read."""
        log = self._log
        match start.at:
            case "newest":
                return log.end, None
            case "oldest":
                return log.oldest, None
            case "cursor":
                return (log.oldest if start.value else log.end), None
            case "time":
                try:
                    return log.offset_at(start.value), None
                except OSError as error:
                    raise EventLogError(f"the log could not be read: {error}; try again in a moment") from error
            case "resume":
                return log.resume(start.epoch, start.value)
            case "offset":
                if not 0 <= start.value <= log.end:
                    raise NoSuchOffset(start.value, log.end)
                return start.value, None
            case _:
                raise InvalidInput(
                    f"a subscription cannot start at {start.at!r}; there are newest, oldest, offset, time, resume, cursor"
                )

    def unsubscribe(self, subscription: Subscription) -> None:
        subscription.closed = True
        subscription.live = False
        self._behind.pop(subscription, None)
        self._stuck.pop(subscription, None)
        if subscription.held_back:
            self._held_back.pop(subscription, None)
        else:
            self._router.remove(subscription)
        if subscription.cursor_name:
            self._cursor_holders.pop(subscription.cursor_name, None)

    # -- Live, and behind ------------------------------------------------------------------------------------------

    def offer(self, batch: Batch, now_ns: int) -> None:
        """Bring a new batch to the live subscriptions that want some of it."""
        wanted: dict[Subscription, list[int]] = {}
        for number, tag in enumerate(batch.tags):
            for subscription in self._router.route(tag):
                numbers = wanted.get(subscription)
                if numbers is None:
                    wanted[subscription] = [number]
                else:
                    numbers.append(number)
        if wanted:
            selection = Selection(batch)
            for subscription, numbers in wanted.items():
                if subscription.live:
                    try:
                        subscription.offer(selection, numbers, now_ns)
                    except Exception as error:  # noqa: BLE001 - it is logged, and ends what it guards
                        self._end(subscription, error)
                        continue
                    if not subscription.live:
                        self.maybe_behind(subscription)

    def maybe_behind(self, subscription: Subscription) -> None:
        """Something has changed for a subscription: if it is behind and could go on, let it."""
        if not subscription.live and subscription.can_take():
            self._behind[subscription] = None
            self._wanted()

    def log_synced(self) -> None:
        """More is synced: those that get only that may go on."""
        for subscription in self._held_back:
            if subscription.reader.next < self._log.synced:
                self.maybe_behind(subscription)

    def catch_up(self, now_ns: int) -> None:
        """Give each subscription that is behind a turn, and so on until none can go on or the turns are used up."""
        for _ in range(CATCH_UP_STEPS):
            behind, self._behind = self._behind, {}
            next_time: dict[Subscription, None] = {}
            for subscription in behind:
                if subscription.closed or not subscription.can_take():
                    continue
                if subscription.predicate is not None and self.steps.left < STEPS_AT_ONCE:
                    next_time[subscription] = None
                    continue
                end = self._log.synced if subscription.held_back else self._log.end
                try:
                    if subscription.catch_up(self._log, end, now_ns):
                        self._behind[subscription] = None
                except OSError as error:
                    self._is_stuck(subscription, error)
                    continue
                except Exception as error:  # noqa: BLE001 - as above
                    self._end(subscription, error)
                    continue
                if self._stuck:
                    self._stuck.pop(subscription, None)
                if subscription.thought is not None:
                    self.thoughts.append(subscription.thought)
                if subscription.cursor_name:
                    self._move_cursor(subscription)
            if next_time:
                self._behind = next_time | self._behind  # Before those that had some of this flush.
            if not self._behind:
                return
        self._wanted()

    def thought(self, thought: Thought) -> None:
        """A thought is done: its subscription goes on."""
        subscription = thought.subscription
        subscription.thought = None
        if subscription.closed:
            return
        if thought.error is not None:
            self._end(subscription, thought.error)
            return
        subscription.take(thought)
        if subscription.cursor_name:
            self._move_cursor(subscription)
        self.maybe_behind(subscription)

    def _end(self, subscription: Subscription, error: Exception) -> None:
        """Something in the broker does not bear what one subscription wants: that one ends, and the others go on.

        Raises MemoryError: that concerns all.
        """
        if isinstance(error, MemoryError):
            raise error
        logger.error("a subscription is ended by a mistake in the broker; please report it", exc_info=error)
        connection = subscription.connection
        connection.subscriptions.pop(subscription.id, None)
        self.unsubscribe(subscription)
        reason = "the broker has made a mistake over this subscription, and ended it; the broker's log says more"
        connection.refuse("subscribe", subscription.id, SylviteError(reason))

    def _is_stuck(self, subscription: Subscription, error: OSError) -> None:
        """The log cannot be read for it: it stays where it is until `try_again`.  Said once, until all can read again."""
        if not self._stuck:
            logger.error("the log cannot be read, and is tried again: %s", error)
        self._stuck[subscription] = None

    def try_again(self) -> None:
        """Let those go on for whom the log could not be read: it may have been for the moment (no file left to open)."""
        for subscription in list(self._stuck):
            self.maybe_behind(subscription)

    def tell(self, subscription: Subscription) -> None:
        """Say how far a subscription is, if it does not know; and its cursor with it."""
        if subscription.live:
            subscription.reader.seek(self._log.end)
        subscription.tell(self._log)
        if subscription.cursor_name:
            self._move_cursor(subscription)

    # -- Cursors ---------------------------------------------------------------------------------------------------

    def advance(self, subscription: Subscription, offset: int) -> None:
        """Everything below `offset` is done, as far as it was delivered."""
        if subscription.cursor_name and offset > subscription.advanced:
            subscription.advanced = min(offset, subscription.delivered)
            self._move_cursor(subscription)

    def _move_cursor(self, subscription: Subscription) -> None:
        cursors = self._log.cursors
        known = cursors.find(subscription.cursor_name)
        owner = known.owner if known else subscription.connection.peer.name
        moved = subscription.cursor_at(self._log, owner, self._clock.now_ns())
        if known is None or moved.offset != known.offset:
            cursors.put(moved)

    def is_cursor_held(self, name: str) -> bool:
        return name in self._cursor_holders
