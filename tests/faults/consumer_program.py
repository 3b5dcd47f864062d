"""A consumer with a durable cursor that is killed again and again, as a process of its own.

SOCKET CURSOR RECORD KILLS SEED

It forks the consumer, kills it (SIGKILL) at a random moment, and so on, and says {"killed": …} now and then. A line of
input lets the last one begin, which reads up to the tag load/end: {"code": …}. What each has got it writes into the file
RECORD before it does anything else with it, and what it knows to be acknowledged: as Marks.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import select
import signal
import struct
import sys
import time
import traceback
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

import msgspec

from sylvite.client.sync_client import Client
from sylvite.client.sync_subscription import Subscription
from sylvite.core.event import Event
from sylvite.errors import CursorInUse

ACKNOWLEDGE_EVERY = 4
CONFIRM_EVERY, CONFIRM_AT = 16, 10
"""In the middle between two acknowledgements: a kill while it waits leaves some events that are not acknowledged."""
EARLY_S = 0.030
"""A third is killed so soon after its fork, at most."""
MARKS, WORKING_S = 100, 0.15
"""The others once they have written so many marks, at most, or after this time, where not so much comes."""
SAY_EVERY = 50
BEGINS_WITHIN_S = 60.0
CURSOR_FREE_WITHIN_S = 20.0
NEXT_WITHIN_S = 120.0
_MARK = struct.Struct("<BQQQ")
_PR_SET_PDEATHSIG = 1


class Kind(IntEnum):
    """BEGIN: a consumer has its subscription.  GOT: an event.  SAFE: an event whose acknowledgement the broker has."""

    BEGIN = 1
    GOT = 2
    SAFE = 3


class Mark(msgspec.Struct, frozen=True):
    kind: Kind
    offset: int
    source: int
    seq: int


def read_marks(record: Path) -> Iterator[Mark]:
    """Return what was written into a record; a mark that a kill has cut off was none."""
    content = record.read_bytes()
    for position in range(0, len(content) // _MARK.size * _MARK.size, _MARK.size):
        kind, offset, source, seq = _MARK.unpack_from(content, position)
        yield Mark(Kind(kind), offset, source, seq)


class _Consumer:
    def __init__(self, arguments: list[str], begun: int) -> None:
        socket, cursor, record = arguments
        self._begun = begun
        self._client = Client.connect(socket)
        self._cursor = cursor
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def run(self) -> None:
        """Consume up to the tag load/end."""
        with self._client, self._subscribe() as subscription:
            self._mark(Kind.BEGIN)
            os.write(self._begun, b".")
            got = 0
            done: Event | None = None
            while (event := subscription.next(NEXT_WITHIN_S)) is not None and event.tag != "load/end":
                self._mark(Kind.GOT, event)
                got += 1
                if got % ACKNOWLEDGE_EVERY == 0:
                    subscription.ack(event)
                    done = event
                if got % CONFIRM_EVERY == CONFIRM_AT and done is not None:
                    # Answered in the order of what was said: so the acknowledgement has been heard.
                    self._client.ask("cursors")
                    self._mark(Kind.SAFE, done)
            assert event is not None, "nothing comes any more"

    def _subscribe(self) -> Subscription:
        deadline = time.monotonic() + CURSOR_FREE_WITHIN_S
        while True:
            try:
                return self._client.subscribe("load/", since="oldest", cursor=self._cursor, ack="manual")
            except CursorInUse:
                # The broker has not noticed yet that the one before is dead.
                assert time.monotonic() < deadline, "the cursor of a dead consumer is never free"
                time.sleep(0.001)

    def _mark(self, kind: Kind, event: Event | None = None) -> None:
        place = (0, 0, 0) if event is None else (event.offset, event.origin.source_epoch, event.source_seq)
        os.write(self._record, _MARK.pack(kind, *place))


class _Life:
    """A forked consumer."""

    def __init__(self, arguments: list[str]) -> None:
        parent = os.getpid()
        self._begun, begun = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            try:
                _Consumer(arguments, begun).run()
            except BaseException:  # noqa: BLE001 - the top of a process
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        os.close(begun)

    def wait_until_begun(self) -> None:
        assert select.select([self._begun], [], [], BEGINS_WITHIN_S)[0], "a consumer does not begin"

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        code = self.end()
        assert code == -signal.SIGKILL, f"a consumer has ended with {code} before it was killed"

    def end(self) -> int:
        os.close(self._begun)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def _wait_for_marks(record: str, count: int) -> None:
    enough = Path(record).stat().st_size + count * _MARK.size
    deadline = time.monotonic() + WORKING_S
    while Path(record).stat().st_size < enough and time.monotonic() < deadline:
        time.sleep(0.0005)


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - the answer


def main(socket: str, cursor: str, record: str, kills: str, seed: str) -> None:
    rng = random.Random(int(seed))
    arguments = [socket, cursor, record]
    for number in range(int(kills)):
        life = _Life(arguments)
        if number % 3 == 0:
            time.sleep(rng.uniform(0, EARLY_S))
        else:
            life.wait_until_begun()
            _wait_for_marks(record, rng.randrange(MARKS))
        life.kill()
        if (number + 1) % SAY_EVERY == 0 or number + 1 == int(kills):
            _say({"killed": number + 1})
    sys.stdin.readline()
    _say({"code": _Life(arguments).end()})


if __name__ == "__main__":
    main(*sys.argv[1:])
