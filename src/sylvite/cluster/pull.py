"""Pull: takes messages out of a stream by a consumer of its own.

The servers forget it, a message may vanish on its way, and a consumer may stand still: where its server's copy of the stream is left behind
by the others, say.  All of that shows here, within some seconds in which nothing has come.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import nats.errors
from nats.aio.msg import Msg
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from sylvite.cluster.connection import Connection
from sylvite.errors import ClusterUnreachable

HANGS_S = 10.0
"""nats-py may wait for ever where a connection breaks at the wrong moment; after this it is given up."""
FETCH_MESSAGES = 256
FETCH_BYTES = 4 * 1024 * 1024
"""So much of the stream waits here, as far as the size of messages can be foretold."""
FORGET_S = 30.0


class Pull:
    """`what`: stands in messages, as in "reading WHAT".  `left`: how many messages wait there, as was said last."""

    def __init__(self, connection: Connection, stream: str, subject: str, what: str, *, fetch_s: float) -> None:
        self.left = 0
        self._connection, self._stream, self._subject = connection, stream, subject
        self._what, self._fetch_s = what, fetch_s
        self._pull: JetStreamContext.PullSubscription | None = None
        self._many = 8
        self._taken = 0
        self._is_behind = False

    async def open(self, policy: api.DeliverPolicy, number: int | None = None) -> None:
        """Begin as `policy` says, with the message `number`.  Raises ClusterError."""
        await self.close()
        name = os.urandom(12).hex()
        config = api.ConsumerConfig(
            name=name,
            filter_subject=self._subject,
            deliver_policy=policy,
            opt_start_seq=number,
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=FORGET_S,
            num_replicas=1,
            mem_storage=True,
        )
        with self._connection.asking(f"reading {self._what}"):
            # Under a name, so that asking again makes no second one.
            info = await self._connection.ask(lambda jetstream: jetstream.add_consumer(self._stream, config))  # type: ignore[reportUnknownMemberType, reportUnknownLambdaType] - nats-py leaves a type in it open
            self._pull = await self._connection.jetstream.pull_subscribe_bind(name, stream=self._stream)
        self.left, self._taken, self._is_behind = info.num_pending or 0, 0, False

    async def fetch(self) -> Sequence[Msg]:
        """Return what comes next; nothing where nothing has come for `fetch_s`.

        Raises:
            ClusterError: nobody answers any more, or something was lost on its way: open it again.
        """
        assert self._pull is not None
        with self._connection.asking(f"reading {self._what}"):
            try:
                async with asyncio.timeout(HANGS_S):
                    messages = await self._pull.fetch(self._many, timeout=self._fetch_s)
            except TimeoutError:
                messages = []
            if not messages:
                await self._look()
                return ()
        for message in messages:
            self._taken += 1
            if message.metadata.sequence.consumer != self._taken:
                raise self._lost()
        self._is_behind = False
        self.left = messages[-1].metadata.num_pending
        largest = max(len(message.data) for message in messages)
        self._many = max(1, min(FETCH_MESSAGES, FETCH_BYTES // (largest + 1)))
        return messages

    async def _look(self) -> None:
        """Raises ClusterUnreachable: the consumer has gone; or there is more than has come, and that for long."""
        assert self._pull is not None
        try:
            info = await self._pull.consumer_info()
        except NotFoundError as error:
            reason = f"who reads {self._what} for us has gone"
            raise ClusterUnreachable(self._connection.servers, reason) from error
        self.left = info.num_pending or 0
        was_behind, self._is_behind = self._is_behind, self.left > 0 or await self._misses_some(info.delivered)
        if was_behind and self._is_behind:
            raise self._lost()  # Nobody sends it again by himself, and no message behind it may come for long.

    async def _misses_some(self, delivered: api.SequenceInfo | None) -> bool:
        """Say whether the consumer has sent what has not come, or is where the stream has not all that it has elsewhere."""
        if delivered is None:
            return False
        if delivered.consumer_seq > self._taken:
            return True
        try:
            last = await self._connection.jetstream.get_last_msg(self._stream, self._subject)
        except NotFoundError:
            return False
        return (last.seq or 0) > delivered.stream_seq

    def _lost(self) -> ClusterUnreachable:
        return ClusterUnreachable(self._connection.servers, f"something of {self._what} was lost on its way")

    async def close(self) -> None:
        if self._pull is not None:
            pull, self._pull = self._pull, None
            try:
                await pull.unsubscribe()
            except (nats.errors.Error, OSError):
                pass  # It has gone with the connection.
