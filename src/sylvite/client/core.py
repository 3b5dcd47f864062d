"""ClientCore: what a client does, without a socket, a clock or a thread.

The shells feed it what they receive and send what it has to say. It knows what was published and not answered, and how
far each subscription is; so after the loss of a connection it says the same again, with the same seq, and goes on where
it was: nothing is lost, and nothing comes twice.
"""

from __future__ import annotations

import os
from typing import Any

from sylvite.client.feed import Feed
from sylvite.client.ticket import Published, Question, Ticket
from sylvite.core.batch import Batch, Passage
from sylvite.core.event import EVENT_BYTES_MAX, Event, Gap, Offset
from sylvite.core.level import BY_POLICY, Level
from sylvite.core.pattern import Filter
from sylvite.errors import ConnectionLost, InvalidData, RemoteProtocolError, ShuttingDown, SylviteError, from_wire
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
    Pong,
    Progress,
    Refuse,
    Replicated,
    Start,
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


class ClientCore:
    """`source_epoch`: a random number that names this publisher; `name`: what the broker shows of this client."""

    def __init__(self, source_epoch: int, *, name: str = "", token: str = "") -> None:
        self.source_epoch = source_epoch
        self.name = name
        self.token = token
        self.welcome: Welcome | None = None
        self.event_bytes_max = EVENT_BYTES_MAX
        """What the broker takes: bytes of data of one event."""
        self._session: Session = client_session()
        self._out: list[bytes] = []
        self._seq = 0
        self._open: dict[int, Ticket] = {}
        self._said: set[int] = set()
        """What was said on this connection and is not answered, whether or not somebody still waits for it."""
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
        self._said.clear()
        self.welcome = None
        self._out = [self._session.send(Hello(VERSION, self.name, self.source_epoch, self.token))]

    def lost(self) -> None:
        """The connection is gone: nothing is said until the next one stands."""
        self.welcome = None
        self._out = []

    def feed(self, data: bytes | memoryview) -> None:
        """Take bytes from the broker.

        Raises:
            ConnectionLost: the broker has said goodbye.
            SylviteError: it has refused this client; or RemoteProtocolError.
        """
        message = self._session.single(data)
        if message is not None:
            self._take(message)
            return
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

    def say_goodbye(self) -> None:
        self._say(Bye())
        self.welcome = None

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
                feed = self._feeds.get(message.subscription)
                if feed is not None and feed.subscribed(message):
                    self._say(Advance(feed.number, feed.done))
            case Missed():
                if (feed := self._feeds.get(message.subscription)) is not None:
                    feed.missed(message)
            case Progress():
                if (feed := self._feeds.get(message.subscription)) is not None:
                    feed.progress(message)
            case Answer():
                if (question := self._questions.pop(message.ask, None)) is not None:
                    question.result = message.result
            case Ping():
                self._say(Pong(message.number))
            case Bye():
                raise ConnectionLost(f"the broker has closed the connection: {message.reason}")
            case _:
                pass  # A Pong has done its work by arriving.

    def _welcome(self, message: Welcome) -> None:
        self.welcome = message
        self.event_bytes_max = min(message.event_bytes_max, EVENT_BYTES_MAX)
        for feed in self._feeds.values():
            self._say(feed.request())
        # In the order of their seq, whatever was tried again in between: so the broker stores them in this order.
        for ticket in sorted(self._open.values(), key=lambda ticket: ticket.seq):
            self._say_block(ticket)
        for question in self._questions.values():
            self._say(question.message)

    def _refuse(self, message: Refuse) -> None:
        error = from_wire(message.code, message.message, message.facts)
        match message.what:
            case "publish":
                self._said.discard(message.ref)
                if isinstance(error, ShuttingDown) and message.ref in self._open:
                    return  # It is said again to the broker that comes next.
                if (ticket := self._open.pop(message.ref, None)) is not None:
                    ticket.refuse(error)
                elif (count := self._unacknowledged.pop(message.ref, None)) is not None:
                    self.dropped += count
                    self.drop_error = error
            case "subscribe":
                if (feed := self._feeds.pop(message.ref, None)) is not None:
                    feed.close(error)
            case "ask":
                if (question := self._questions.pop(message.ref, None)) is not None:
                    question.error = error
            case _:
                raise error

    # -- Publish -----------------------------------------------------------------------------------------------------

    def ticket(self, block: bytes, count: int, level: Level | None) -> Ticket:
        """Give a block its place in the order of this publisher; it is not said yet."""
        ticket = Ticket(self.source_epoch, self._seq, count, BY_POLICY if level is None else int(level), block)
        self._seq += count
        return ticket

    def relayed(
        self, block: bytes, count: int, sender: str, source_epoch: int, seq: int, passage: Passage | None = None,
        *, level: Level | None = Level.SYNCED,
    ) -> Ticket:  # fmt: skip
        """As `ticket`, for a block of somebody else: of `sender`, whose source epoch and seq these are."""
        ticket = self.ticket(block, count, level)
        ticket.origin = (sender, source_epoch, seq)
        ticket.passage = passage
        return ticket

    def replicated(self, epoch: int, offset: int) -> None:
        """Say that the cluster has what the log has below `offset`."""
        self._say(Replicated(epoch, offset))

    def publish(self, ticket: Ticket) -> None:
        """Say a block, for the first time or again; the broker will not take it twice.

        At level none it is answered at once.
        """
        ticket.published = ticket.error = None
        if ticket.level == Level.NONE:
            ticket.published = Published(Offset(-1), 0, Level.NONE)
            self._unacknowledged[ticket.seq] = ticket.count
            if len(self._unacknowledged) > UNACKNOWLEDGED_MAX:
                del self._unacknowledged[next(iter(self._unacknowledged))]
        else:
            self._open[ticket.seq] = ticket
            if ticket.seq in self._said:
                # Its answer is on the way. Said twice it would get two, and the first might be no, the second yes.
                return
        self._say_block(ticket)

    def _say_block(self, ticket: Ticket) -> None:
        if self.welcome is not None and ticket.level != Level.NONE:
            self._said.add(ticket.seq)
        self._say(ticket.message())

    def forget(self, ticket: Ticket) -> None:
        """Nobody waits for this ticket any more; it will not be said again."""
        self._open.pop(ticket.seq, None)

    def _ack(self, message: Ack) -> None:
        self._said.discard(message.seq)
        ticket = self._open.pop(message.seq, None)
        if ticket is not None:
            try:
                level = Level(message.level)
            except ValueError as error:
                raise RemoteProtocolError(f"an Ack names level {message.level}, which there is not") from error
            ticket.published = Published(Offset(message.base), message.epoch, level)

    # -- Subscribe ---------------------------------------------------------------------------------------------------

    def subscribe(
        self, filter_: Filter, start: Start, *, cursor: str = "", synced: bool = False, credit_bytes: int = CREDIT_BYTES
    ) -> Feed:
        self._last_number += 1
        feed = Feed(self._last_number, filter_, start, cursor=cursor, synced=synced, credit_bytes=credit_bytes)
        self._say(feed.request())
        self._feeds[feed.number] = feed
        return feed

    def unsubscribe(self, feed: Feed) -> None:
        if not feed.closed:
            feed.close()
        if self._feeds.pop(feed.number, None) is not None:
            self._say(Unsubscribe(feed.number))

    def take_events(self, feed: Feed) -> list[Event | Gap]:
        """As `Feed.take`; the broker gets back the credit for what is taken."""
        events = feed.take()
        if credit := feed.take_credit():
            self._say(Credit(feed.number, credit))
        return events

    def take_whole(self, feed: Feed) -> Batch | Gap | Progress:
        """As `Feed.take_whole`; the broker gets back the credit for what is taken."""
        item = feed.take_whole()
        if credit := feed.take_credit():
            self._say(Credit(feed.number, credit))
        return item

    def advance(self, feed: Feed, offset: int) -> None:
        """Everything below `offset` is done."""
        if feed.advance(offset):
            self._say(Advance(feed.number, offset))

    def _deliver(self, message: Deliver) -> None:
        feed = self._feeds.get(message.subscription)
        if feed is not None:  # Else it was under way when the subscription was closed.
            feed.deliver(message.batch)

    # -- Ask ---------------------------------------------------------------------------------------------------------

    def ask(self, verb: str, arguments: dict[str, Any]) -> Question:
        """Raises InvalidData: an argument that MessagePack cannot carry."""
        self._last_number += 1
        question = Question(Ask(self._last_number, verb, arguments))
        try:
            self._say(question.message)
        except (TypeError, OverflowError, ValueError, RecursionError) as error:
            raise InvalidData(f"the arguments of {verb} cannot be encoded: {error}") from error
        self._questions[question.message.ask] = question
        return question

    def drop_question(self, question: Question) -> None:
        """Nobody waits for this answer any more."""
        self._questions.pop(question.message.ask, None)
