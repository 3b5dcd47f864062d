"""Publishers: one that waits for each answer and says again what is not answered, and one with many on their way."""

from __future__ import annotations

from sylvite.client.ticket import Ticket
from sylvite.core.block import BlockBuilder
from sylvite.core.event import pack_data
from sylvite.core.level import Level
from sylvite.errors import AckTimeout, AckUnknown, DiskFull, EventLogError, StaleSequence, SylviteError
from tests.simulation.broker import Machine
from tests.simulation.client import Client
from tests.simulation.truth import Truth
from tests.simulation.world import Timer, Violation, World

TAGS = ("a/one", "a/two", "b/one", "b/skip", "c")
SIZES = (0, 20, 100, 100, 700, 4000)
EVERY_S = 0.7
ANSWER_S = 8.0
AGAIN_S = 0.5
REFUSALS = (EventLogError, DiskFull)
"""What a disk that takes nothing is answered with, by their very class; LogFailed is not among them."""


class Publisher(Client):
    """`window`: how many blocks may wait for their answers; with one, it has a deadline, and is said again."""

    def __init__(
        self, world: World, machine: Machine, truth: Truth, name: str, *, level: Level, window: int
    ) -> None:  # fmt: skip
        super().__init__(world, machine, name)
        self.truth = truth
        self.is_patient = False
        """It says again what is not answered until it is."""
        self.publishes = True
        self._level, self._window = level, window
        self._open: dict[Ticket, Timer | None] = {}
        self._later: list[Ticket] = []
        self._next_seq = 0

    def start(self) -> None:
        super().start()
        self._publish_soon()

    @property
    def is_settled(self) -> bool:
        """Everything that was said is answered, or given up."""
        return not self._open and not self._later and self.is_sent()

    # -- Publish -----------------------------------------------------------------------------------------------------

    def _publish_soon(self) -> None:
        self.world.after_s(self.world.about_s(EVERY_S), self._publish)

    def _publish(self) -> None:
        self._publish_soon()
        for _ in range(1 if self._window == 1 else self.world.rng.choice((1, 1, 4))):
            self._publish_one()

    def _publish_one(self) -> None:
        if len(self._open) >= self._window or not self.core.is_ready or not self.is_sent():
            return
        if self._later and (self.is_patient or self.world.is_chosen(0.5)):
            self._say(self._later.pop(0))
        elif self.publishes:
            self._say(self._new_ticket())

    def _new_ticket(self) -> Ticket:
        rng, builder, tags = self.world.rng, BlockBuilder(), list[str]()
        for number in range(self._next_seq, self._next_seq + (1 if rng.random() < 0.6 else rng.randint(2, 9))):
            tags.append(rng.choice(TAGS))
            builder.add(tags[-1], pack_data({"n": number, "pad": "x" * rng.choice(SIZES)}))
        ticket = self.core.ticket(*builder.take(), self._level)
        self._next_seq += ticket.count
        self.truth.said(self.core.source_epoch, ticket.seq, tags)
        return ticket

    def _say(self, ticket: Ticket) -> None:
        self.note(f"publishes {ticket.seq}+{ticket.count}")
        self.core.publish(ticket)
        self.send()
        if self._level is Level.NONE:
            return
        self._open[ticket] = (
            self.world.after_s(ANSWER_S, lambda: self._is_late(ticket)) if self._window == 1 else None
        )  # fmt: skip

    # -- Answers -----------------------------------------------------------------------------------------------------

    def changed(self) -> None:
        for ticket in [ticket for ticket in self._open if ticket.is_answered()]:
            self._close(ticket)
            if ticket.error is None:
                self._acknowledged(ticket)
            else:
                self._refused(ticket, ticket.error)

    def _close(self, ticket: Ticket) -> None:
        timer = self._open.pop(ticket)
        if timer is not None:
            timer.cancel()

    def _acknowledged(self, ticket: Ticket) -> None:
        answer = ticket.published
        assert answer is not None
        self.note(f"{ticket.seq} is @{answer.offset}, {answer.level.name}")
        self.world.happened[f"answered {answer.level.name}"] += 1
        if answer.level < self._level:
            raise Violation("lost", f"{self._level} was asked for, and {answer.level} is answered")
        self.truth.acknowledged(
            ticket.source_epoch, ticket.seq, ticket.count, answer, synced=answer.level >= Level.SYNCED
        )  # fmt: skip

    def _is_late(self, ticket: Ticket) -> None:
        if ticket in self._open:
            self._close(ticket)
            self.core.forget(ticket)
            self._refused(ticket, AckTimeout("no answer in time"))

    def _refused(self, ticket: Ticket, error: SylviteError) -> None:
        self.note(f"{ticket.seq} is answered with {error.code}")
        self.world.happened[f"answered {error.code}"] += 1
        if type(error) in REFUSALS:
            self.truth.refused(ticket.source_epoch, ticket.seq, ticket.count)
        elif isinstance(error, StaleSequence) and self.truth.oldest_ever:
            pass  # Retention has taken events of this publisher, maybe this one: nobody can know.
        elif not isinstance(error, AckUnknown):
            raise Violation("unanswered", f"{self.name} is answered with {error!r}")
        elif self._window == 1:
            self._try_again(ticket)

    def _try_again(self, ticket: Ticket) -> None:
        """Say it again, before others or behind them; or never."""
        how = self.world.rng.random()
        if self.is_patient or how < 0.6:
            self._later.insert(0, ticket)
        elif how < 0.85:
            self._later.append(ticket)
        # Whatever is said before it comes to it: it may come behind later ones of this source.
        self.truth.may_come_late(ticket.source_epoch, ticket.seq, ticket.count)
