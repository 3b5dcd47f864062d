"""Returns: a job that was published, and what its minions send back, as it comes.  The blocking shell."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import TracebackType

from sylvite.client.start import Since
from sylvite.client.sync_client import ANSWER_S, Client
from sylvite.client.sync_subscription import Subscription
from sylvite.core.event import Gap
from sylvite.errors import AckUnknown, ConnectionLost, SylviteError
from sylvite.jobs.batching import Batching
from sylvite.jobs.client_core import JobCore
from sylvite.jobs.collecting import Ask, Collecting, Done, Publish, Returned, Wait
from sylvite.jobs.publishing import Order, Publication, returns_of

logger = logging.getLogger("sylvite.jobs")


class Returns:
    """An iterator and a context manager.  It ends when all minions have answered or are given up.

    `collecting` says who has answered and who has not.  Made by `LocalClient`.
    """

    def __init__(self, bus: Client, core: JobCore, collecting: Collecting, order: Order | None = None) -> None:
        """`order`: of a batch, whose parts are published as there is room."""
        self.collecting = collecting
        self.ended = False
        self._bus, self._core, self._order = bus, core, order
        self._returns: Subscription | None = None
        self._answers: Subscription | None = None

    @property
    def jid(self) -> str:
        return self.collecting.jid

    def listen(self, since: Since = None) -> None:
        """Hear what comes from now on, or from then on.  Raises SylviteError: the bus does not let us."""
        self._returns = self._subscribe(self.jid, since)

    def __enter__(self) -> Returns:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more of it; the job goes on."""
        if isinstance(self.collecting, Batching) and self._returns is not None:
            self.collecting.leave(time.monotonic())
            try:
                self._tell()
            except SylviteError as error:
                logger.warning("the end of the batch %s is not told: %s", self.jid, error)
        for subscription in (self._returns, self._answers):
            if subscription is not None:
                subscription.close()
        self._returns = self._answers = None

    def __iter__(self) -> Iterator[Returned]:
        while (found := self.next()) is not None:
            yield found

    def next(self, timeout_s: float | None = None) -> Returned | None:
        """Return the next return; None where none came in time, or there will be none any more (`ended`).

        Raises:
            ConnectionLost, NotAllowed, ...: the bus cannot be reached; the job goes on.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with naming(self.jid):
            while not self.ended:
                now = time.monotonic()
                step = self.collecting.step(now)
                self._tell()
                match step:
                    case Done():
                        self.ended = True
                    case Ask():
                        self._ask()
                    case Publish(minions):
                        self._publish_part(minions)
                    case Wait(until):
                        limit = until if deadline is None else min(until, deadline)
                        if (found := self._hear(max(limit - now, 0.0))) is not None:
                            return found
                        if deadline is not None and time.monotonic() >= deadline:
                            return None
        return None

    # -- The bus -----------------------------------------------------------------------------------------------------

    def _subscribe(self, jid: str, since: Since = None) -> Subscription:
        return self._bus.subscribe(startswith=returns_of(jid), since=since, on_gap=tell_gap)

    def _hear(self, timeout_s: float) -> Returned | None:
        heard = [each for each in (self._returns, self._answers) if each is not None]
        found = self._bus.next_of(heard, timeout_s)
        if found is None:
            return None
        subscription, event = found
        minion = event.tag.rpartition("/")[2]
        if subscription is self._answers:
            self.collecting.take_answer(minion, event.data, time.monotonic())
            return None
        return self.collecting.take(minion, event.data, time.monotonic())

    def _ask(self) -> None:
        if self._answers is not None:
            self._answers.close()
            self._answers = None
        asked = self.collecting.reachable(self._core.roster.present())
        if asked:
            question = self._core.question(self.jid, asked)
            self._answers = self._subscribe(question.jid)
            publish(self._bus, question)
        self.collecting.asked(asked, time.monotonic())

    def _publish_part(self, minions: list[str]) -> None:
        assert self._order is not None
        publish(self._bus, self._core.part(self._order, self.jid, minions))
        self.collecting.expect(minions, time.monotonic())

    def _tell(self) -> None:
        """Publish what a batch has to say of itself."""
        if isinstance(self.collecting, Batching) and (events := self.collecting.take_events()):
            self._bus.publish_many(events, timeout_s=ANSWER_S)


def publish(bus: Client, published: Publication) -> None:
    """Publish a job.

    Raises:
        NotAllowed, ...: it is not published.  AckUnknown: it may be, or not; the error has a note of its jid.
    """
    try:
        bus.publish_many(published.events, timeout_s=ANSWER_S)
    except SylviteError as error:
        if isinstance(error, AckUnknown):
            error.add_note(f"the job would be {published.jid}")
        raise


@contextmanager
def naming(jid: str) -> Generator[None]:
    """Put the jid beside what is said of a bus that is away: the job goes on without us."""
    try:
        yield
    except ConnectionLost as error:
        error.add_note(f"the job {jid} goes on")
        raise


def tell_gap(gap: Gap) -> None:
    logger.warning("returns may be missing: %s", gap)
