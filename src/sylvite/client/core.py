"""ClientCore: what a client does, without a socket, a clock or a thread.

The shells feed it what they receive and send what it has to say. It knows what was published and not answered, and how
far each subscription is; so after the loss of a connection it says the same again, with the same seq, and goes on where
it was: nothing is lost, and nothing comes twice.
"""

from __future__ import annotations

import os
from collections import deque

import msgspec

from sylvite.core.batch import Batch
from sylvite.core.event import Event, Gap, Offset, Position
from sylvite.core.level import BY_POLICY, Level
from sylvite.core.pattern import Filter
from sylvite.errors import AckTimeout, AckUnknown, ConnectionLost, SylviteError, from_wire
from sylvite.wire.messages import (
    VERSION,
    Ack,
    Advance,
    Answer,
    Ask,
    Bye,
    Credit,
    Deliver,
    Hello,
    Message,
    Missed,
    Ping,
    Progress,
    Publish,
    Refuse,
    Start,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Welcome,
)
from sylvite.wire.session import Session, client_session

CREDIT_BYTES = 1024 * 1024
UNACKNOWLEDGED_MAX = 1024
"""Blocks at level none whose size is remembered, so that a refusal can say how many events it concerns."""


def new_source_epoch() -> int:
    """Return a random name for a publisher."""
    return int.from_bytes(os.urandom(8), "little") >> 1


class Published(msgspec.Struct, frozen=True):
    """The answer to a publish: where the event is, and what it survives.  At level none, offset is -1."""

    offset: Offset
    epoch: int
    level: Level

    def __int__(self) -> int:
        return self.offset

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.offset)


class Ticket:
    """One block that was published: `published` is its first event, or `error` is why not; neither while it is open."""

    __slots__ = ("block", "count", "error", "level", "published", "seq")

    def __init__(self, seq: int, count: int, level: int, block: bytes) -> None:
        self.seq, self.count, self.level, self.block = seq, count, level, block
        self.published: Published | None = None
        self.error: SylviteError | None = None

    def is_answered(self) -> bool:
        return self.published is not None or self.error is not None

    def result(self) -> Published:
        """Return the answer.  Raises SylviteError: the broker refused."""
        if isinstance(self.error, AckUnknown):
            self.error.ticket = self
        if self.error is not None:
            raise self.error
        assert self.published is not None
        return self.published

    def unknown(self, reason: Exception) -> AckUnknown:
        """Return what to raise where no answer came: nobody knows what became of the events."""
        if isinstance(reason, TimeoutError):
            unknown: AckUnknown = AckTimeout("the broker has not answered in time: the event may be in the log, or not")
        else:
            unknown = AckUnknown(f"{reason}; the event may be in the log, or not")
        unknown.ticket = self
        return unknown


class Question:
    """One question to the broker: `result`, or `error`, or neither while it is open."""

    __slots__ = ("error", "message", "result")

    def __init__(self, message: Ask) -> None:
        self.message = message
        self.result: dict[str, object] | None = None
        self.error: SylviteError | None = None

    def is_answered(self) -> bool:
        return self.result is not None or self.error is not None


class Feed:
    """One subscription as the core knows it.

    `wanted` is the offset of the next event; `epoch` that of the event before it.  Deliveries wait here undecoded, so
    that what a slow reader holds is bounded by the credit.
    """

    def __init__(
        self, number: int, filter_: Filter, start: Start, *, cursor: str, synced: bool, credit_bytes: int
    ) -> None:
        self.number = number
        self.filter = filter_
        self.start = start
        self.cursor = cursor
        self.synced = synced
        self.credit_bytes = credit_bytes
        self.stands = False
        self.closed = False
        self.error: SylviteError | None = None
        self.end = 0
        self.wanted = 0
        self.epoch = 0
        self.waiting: deque[Batch | Gap | Progress] = deque()
        self.received = 0
        self.given_back = 0

    def is_answered(self) -> bool:
        return self.stands or self.error is not None

    def has_more(self) -> bool:
        """Say whether there is something to take, or nothing will come any more."""
        return bool(self.waiting) or self.closed

    def request(self) -> Subscribe:
        start = self.start
        if self.stands:
            # Again after a loss: behind what was received, wherever the first start was.
            start = Start("resume", self.received, self.epoch)
        return Subscribe(self.number, self.filter, start, self.credit_bytes, self.cursor, self.synced)


class ClientCore:
    """`source_epoch`: a random number that names this publisher; `name`: what the broker shows of this client."""

    def __init__(self, source_epoch: int, *, name: str = "", token: str = "") -> None:
        self.source_epoch = source_epoch
        self.name = name
        self.token = token
        self.welcome: Welcome | None = None
        self.refused: SylviteError | None = None
        self._session: Session = client_session()
        self._out: list[bytes] = []
        self._seq = 0
        self._open: dict[int, Ticket] = {}
        self._feeds: dict[int, Feed] = {}
        self._questions: dict[int, Question] = {}
        self._last_number = 0
        self._unacknowledged: dict[int, int] = {}
        self.dropped = 0
        """Events at level none that the broker has refused."""
        self.drop_error: SylviteError | None = None
        """The latest of these refusals, until a publisher takes it."""

    # -- Connection ------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """A new connection stands: greet.  What has to be said again follows once the broker has answered."""
        self._session = client_session()
        self.welcome = None
        self._out = [self._session.send(Hello(VERSION, self.name, self.source_epoch, self.token))]

    def feed(self, data: bytes | memoryview) -> None:
        """Take bytes from the broker.

        Raises:
            ConnectionLost: the broker has said goodbye.
            SylviteError: it has refused this client; or RemoteProtocolError.
        """
        self._session.feed(data)
        for message in self._session.messages():
            self._take(message)

    def take_bytes(self) -> list[bytes]:
        """Return what is to be sent."""
        out, self._out = self._out, []
        return out

    @property
    def has_bytes(self) -> bool:
        return bool(self._out)

    @property
    def is_ready(self) -> bool:
        return self.welcome is not None

    def _say(self, message: Message) -> None:
        if self.welcome is not None:
            self._out.append(self._session.send(message))

    def _take(self, message: Message) -> None:
        match message:
            case Deliver():
                self._deliver(message)
            case Ack():
                self._ack(message)
            case Welcome():
                self._welcome(message)
            case Refuse():
                self._refuse(message)
            case Subscribed():
                self._subscribed(message)
            case Missed():
                self._missed(message)
            case Progress():
                self._progress(message)
            case Answer():
                question = self._questions.pop(message.ask, None)
                if question is not None:
                    question.result = message.result
            case Bye():
                raise ConnectionLost(f"the broker has closed the connection: {message.reason}")
            case _:
                pass  # A Pong has done its work by arriving.

    def _welcome(self, message: Welcome) -> None:
        self.welcome = message
        for feed in self._feeds.values():
            self._say(feed.request())
            # The credit starts anew; what was received and not handed out yet was of the old one.
            feed.given_back = -sum(len(item.raw) for item in feed.waiting if isinstance(item, Batch))
        # In the order of their seq, whatever was tried again in between: so the broker stores them in this order.
        for ticket in sorted(self._open.values(), key=lambda ticket: ticket.seq):
            self._say(Publish(ticket.level, ticket.seq, ticket.block))
        for question in self._questions.values():
            self._say(question.message)

    def _refuse(self, message: Refuse) -> None:
        error = from_wire(message.code, message.message)
        match message.what:
            case "publish":
                if (ticket := self._open.pop(message.ref, None)) is not None:
                    ticket.error = error
                elif (count := self._unacknowledged.pop(message.ref, None)) is not None:
                    self.dropped += count
                    self.drop_error = error
            case "subscribe":
                if (feed := self._feeds.pop(message.ref, None)) is not None:
                    feed.error = error
                    feed.closed = True
            case "ask":
                if (question := self._questions.pop(message.ref, None)) is not None:
                    question.error = error
            case _:
                self.refused = error
                raise error

    # -- Publish -----------------------------------------------------------------------------------------------------

    def publish(self, block: bytes, count: int, level: Level | None) -> Ticket:
        """Publish a block.  At level none the ticket is answered at once."""
        wanted = BY_POLICY if level is None else int(level)
        ticket = Ticket(self._seq, count, wanted, block)
        self._seq += count
        if level is Level.NONE:
            ticket.published = Published(Offset(-1), 0, Level.NONE)
            self._unacknowledged[ticket.seq] = count
            if len(self._unacknowledged) > UNACKNOWLEDGED_MAX:
                del self._unacknowledged[next(iter(self._unacknowledged))]
        else:
            self._open[ticket.seq] = ticket
        self._say(Publish(wanted, ticket.seq, block))
        return ticket

    def publish_again(self, ticket: Ticket) -> None:
        """Say a block once more that was not answered, or whose fate is unknown; the broker will not take it twice."""
        ticket.published = ticket.error = None
        self._open[ticket.seq] = ticket
        self._say(Publish(ticket.level, ticket.seq, ticket.block))

    def forget(self, ticket: Ticket) -> None:
        """Nobody waits for this ticket any more; it will not be said again."""
        self._open.pop(ticket.seq, None)

    def _ack(self, message: Ack) -> None:
        ticket = self._open.pop(message.seq, None)
        if ticket is not None:
            ticket.published = Published(Offset(message.base), message.epoch, Level(message.level))

    # -- Subscribe ---------------------------------------------------------------------------------------------------

    def subscribe(
        self, filter_: Filter, start: Start, *, cursor: str = "", synced: bool = False, credit_bytes: int = CREDIT_BYTES
    ) -> Feed:
        self._last_number += 1
        feed = Feed(self._last_number, filter_, start, cursor=cursor, synced=synced, credit_bytes=credit_bytes)
        self._feeds[feed.number] = feed
        self._say(feed.request())
        return feed

    def unsubscribe(self, feed: Feed) -> None:
        feed.closed = True
        feed.waiting.clear()
        if self._feeds.pop(feed.number, None) is not None:
            self._say(Unsubscribe(feed.number))

    def take_events(self, feed: Feed) -> list[Event | Gap]:
        """Return what the next delivery holds, decoded: events not seen before, and gaps.

        May be empty although there was a delivery; `feed.waiting` says whether there is another one.
        """
        item = feed.waiting.popleft()
        if isinstance(item, Progress):
            feed.wanted = max(feed.wanted, item.offset)
            return []
        if isinstance(item, Gap):
            feed.wanted = item.next
            return [item]
        events = item.events(feed.wanted)
        if events:
            last = events[-1]
            feed.wanted = last.next if isinstance(last, Gap) else last.offset + 1
        self._give_back(feed, len(item.raw))
        return events

    def _give_back(self, feed: Feed, size: int) -> None:
        feed.given_back += size
        if feed.given_back >= feed.credit_bytes // 2:
            self._say(Credit(feed.number, feed.given_back))
            feed.given_back = 0

    def advance(self, feed: Feed, offset: int) -> None:
        """Everything below `offset` is done."""
        if not feed.closed:
            self._say(Advance(feed.number, offset))

    def _deliver(self, message: Deliver) -> None:
        feed = self._feeds.get(message.subscription)
        if feed is None:
            return  # It was under way when the subscription was closed.
        batch = Batch(message.batch)
        feed.waiting.append(batch)
        feed.received = max(feed.received, batch.last + 1)
        feed.epoch = batch.epoch

    def _missed(self, message: Missed) -> None:
        feed = self._feeds.get(message.subscription)
        if feed is not None:
            feed.waiting.append(Gap(message.first, message.next, message.reason, message.count, message.detail))
            feed.received = message.next
            if message.reason == "reset":
                feed.epoch = 0

    def _progress(self, message: Progress) -> None:
        feed = self._feeds.get(message.subscription)
        if feed is not None:
            feed.waiting.append(message)
            feed.received = max(feed.received, message.offset)
            feed.epoch = message.epoch

    def _subscribed(self, message: Subscribed) -> None:
        feed = self._feeds.get(message.subscription)
        if feed is not None and not feed.stands:
            feed.stands = True
            feed.wanted = feed.received = message.next
            feed.epoch = message.epoch
            feed.end = message.end

    # -- Ask ---------------------------------------------------------------------------------------------------------

    def ask(self, verb: str, arguments: dict[str, object]) -> Question:
        self._last_number += 1
        question = Question(Ask(self._last_number, verb, arguments))
        self._questions[question.message.ask] = question
        self._say(question.message)
        return question

    def drop_question(self, question: Question) -> None:
        """Nobody waits for this answer any more."""
        self._questions.pop(question.message.ask, None)

    def ping(self, number: int) -> None:
        self._say(Ping(number))

    def say_goodbye(self) -> None:
        if self.welcome is not None:
            self._say(Bye())
            self.welcome = None
