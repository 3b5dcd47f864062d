"""The stream: what all masters publish to and read, in JetStream.  Names, settings, and the two ways: in and out.

    sylvite_log         the stream: a message for each batch of each master's log
    sylvite.log.NODE    the subject that the master NODE alone may publish to
    sylvite.say.NODE    what NODE says to the other bridges, in no stream (cluster/words.py)

`sylvite` is the cluster's name.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Self, cast

import msgspec
import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api
from nats.js.errors import NotFoundError

from sylvite.cluster.carried import MESSAGE_BYTES_MAX
from sylvite.cluster.connection import Connection
from sylvite.cluster.outgoing import Message
from sylvite.cluster.pull import HANGS_S, Pull
from sylvite.cluster.settings import ClusterSettings
from sylvite.errors import ClusterUnfit, InvalidSetting

FETCH_S = 1.0
DUPLICATES_S = 120.0
HEADERS_BYTES = 1024
_is_node = re.compile(r"[A-Za-z0-9_.-]{1,128}").fullmatch


def check_node(node: str) -> str:
    """Return the name of a master.  Raises InvalidSetting: it cannot stand in a subject."""
    if _is_node(node) is None:
        raise InvalidSetting("cluster.node", node, "must be 1 to 128 letters, digits, dots, - or _")
    return node


def _token(node: str) -> str:
    return node.replace(".", "%")


def log_subject(settings: ClusterSettings, node: str) -> str:
    return f"{settings.name}.log.{_token(node)}"


def say_subject(settings: ClusterSettings, node: str = "*") -> str:
    return f"{settings.name}.say.{_token(node)}"


def node_of(subject: str) -> str:
    """Return which master a subject belongs to."""
    return subject.rpartition(".")[2].replace("%", ".")


def stream_name(settings: ClusterSettings) -> str:
    return f"{settings.name}_log"


def may_publish(settings: ClusterSettings, node: str) -> tuple[str, ...]:
    """Return the subjects that the user of a master needs to publish to, for its bridge: none of another master's."""
    name = stream_name(settings)
    return (
        log_subject(settings, node),
        say_subject(settings, node),
        f"$JS.API.STREAM.INFO.{name}",
        f"$JS.API.STREAM.CREATE.{name}",
        f"$JS.API.STREAM.MSG.GET.{name}",
        f"$JS.API.CONSUMER.CREATE.{name}.>",
        f"$JS.API.CONSUMER.INFO.{name}.>",
        f"$JS.API.CONSUMER.DELETE.{name}.>",
        f"$JS.API.CONSUMER.MSG.NEXT.{name}.>",
    )


def stream_config(settings: ClusterSettings) -> api.StreamConfig:
    """Return the settings that the stream is made with."""
    return api.StreamConfig(
        name=stream_name(settings),
        description="The logs of the masters of a Sylvite cluster",
        subjects=[f"{settings.name}.log.*"],
        retention=api.RetentionPolicy.LIMITS,
        discard=api.DiscardPolicy.OLD,
        storage=api.StorageType.FILE,
        num_replicas=settings.replicas,
        max_age=settings.keep_s or 0,
        max_bytes=settings.keep_bytes or -1,
        max_msgs=-1,
        duplicate_window=min(DUPLICATES_S, settings.keep_s or DUPLICATES_S),
        deny_delete=True,
        deny_purge=True,
        allow_rollup_hdrs=False,
    )


AS_WE_MAKE_IT = "let it be as Sylvite makes it, or give the cluster another name"


def wrong_settings(settings: ClusterSettings, config: api.StreamConfig) -> list[str]:
    """Return in what a stream under our name is another one than ours."""
    wanted = stream_config(settings)
    wrong = [
        f"{name} is {getattr(config, name)!r}, not {getattr(wanted, name)!r}"
        for name in ("subjects", "retention", "storage", "discard")
        if getattr(config, name) != getattr(wanted, name)
    ]
    if (config.num_replicas or 1) < settings.replicas:
        wrong.append(f"it has {config.num_replicas} replicas, not {settings.replicas}")
    return wrong


class StreamState(msgspec.Struct, frozen=True):
    """`id`: another one for each time that the stream is made.  `first`, `last`: numbers of messages; none has `last` + 1 yet."""

    id: int
    first: int
    last: int
    is_new: bool = False


class Fetched(msgspec.Struct, frozen=True):
    node: str
    number: int
    data: bytes


class Confirmed(msgspec.Struct, frozen=True):
    """What has become of a message: `error` is empty where the stream has it."""

    number: int
    error: str


class Stream:
    def __init__(self, connection: Connection, node: str) -> None:
        self.connection, self.node = connection, check_node(node)
        self.settings = connection.settings
        self.name = stream_name(self.settings)

    async def open(self) -> StreamState:
        """Make the stream if it is not there; return how it is.

        Raises:
            ClusterUnfit: it has other settings, or the servers take no message as large as a batch.
            ClusterError: the servers do not answer, or refuse.
        """
        if self.connection.payload_bytes_max < MESSAGE_BYTES_MAX + HEADERS_BYTES:
            reason = f"takes messages of at most {self.connection.payload_bytes_max} bytes, and a batch may have {MESSAGE_BYTES_MAX}"
            raise ClusterUnfit(f"NATS server {self.connection.server}", reason, "set `max_payload: 8MB`")
        with self.connection.asking(f"looking at the stream {self.name}"):
            try:
                info, is_new = await self.connection.ask(lambda jetstream: jetstream.stream_info(self.name)), False
            except NotFoundError:
                config, is_new = stream_config(self.settings), True
                info = await self.connection.ask(lambda jetstream: jetstream.add_stream(config))  # type: ignore[reportUnknownMemberType, reportUnknownLambdaType] - nats-py leaves a type in it open
        self._check(info.config)
        return _state_of(info, is_new=is_new)

    async def state(self) -> StreamState | None:
        """Return how the stream is now; None where there is none.  Raises ClusterError."""
        with self.connection.asking(f"looking at the stream {self.name}"):
            try:
                return _state_of(await self.connection.jetstream.stream_info(self.name))
            except NotFoundError:
                return None

    async def last_of_ours(self) -> bytes | None:
        """Return what the last message of this master carries; None where there is none.  Raises ClusterError."""
        with self.connection.asking(f"reading the stream {self.name}"):
            try:
                found = await self.connection.jetstream.get_last_msg(self.name, log_subject(self.settings, self.node))
            except NotFoundError:
                return None
        return found.data or b""

    def _check(self, config: api.StreamConfig) -> None:
        if wrong := wrong_settings(self.settings, config):
            raise ClusterUnfit(f"the stream {self.name}", "; ".join(wrong), AS_WE_MAKE_IT)


def _state_of(info: api.StreamInfo, *, is_new: bool = False) -> StreamState:
    assert info.created is not None
    return StreamState(int(info.created.timestamp() * 1e6), info.state.first_seq, info.state.last_seq, is_new)


class Writer:
    """Puts messages into the stream.  `answers`: what has become of them, as it is heard."""

    def __init__(self, stream: Stream) -> None:
        self.answers: asyncio.Queue[Confirmed] = asyncio.Queue()
        self._stream = stream
        self._nats = stream.connection.nats
        self._subject = log_subject(stream.settings, stream.node)
        self._inbox = self._nats.new_inbox()
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> Self:
        with self._stream.connection.asking("listening for answers"):
            answers = f"{self._inbox}.*"
            self._subscription = await self._nats.subscribe(answers, cb=self._heard)  # type: ignore[reportUnknownMemberType] - nats-py leaves a type in it open
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._subscription is not None:
            try:
                await self._subscription.unsubscribe()
            except (nats.errors.Error, OSError):
                pass  # It has gone with the connection.

    async def send(self, message: Message) -> None:
        """Raises ClusterUnreachable: there is no connection at the moment."""
        headers = {"Nats-Msg-Id": message.id, "Nats-Expected-Stream": self._stream.name}
        with self._stream.connection.asking("publishing to the stream"):
            async with asyncio.timeout(HANGS_S):
                await self._nats.publish(
                    self._subject, message.data, reply=f"{self._inbox}.{message.number}", headers=headers
                )  # fmt: skip

    async def _heard(self, answer: Msg) -> None:
        number = int(answer.subject.rpartition(".")[2])
        self.answers.put_nowait(Confirmed(number, _error_in(answer)))


def _error_in(answer: Msg) -> str:
    if not answer.data:
        return "nobody answers for the stream"
    try:
        said = msgspec.json.decode(answer.data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        return f"an answer that is none: {error}"
    if (refused := said.get("error")) is not None:
        return str(cast("dict[str, Any]", refused).get("description", refused))
    if said.get("duplicate"):
        # Each message has a name that was never used: whoever has used it wants ours to be dropped.
        return "somebody else has used the name of our message"
    return ""


class Reader:
    """Takes messages out of the stream, in its order: those of all masters, or of `node` alone."""

    def __init__(self, stream: Stream, node: str = "*") -> None:
        subject = log_subject(stream.settings, node)
        self._pull = Pull(stream.connection, stream.name, subject, "the stream", fetch_s=FETCH_S)

    async def open(self, number: int) -> None:
        """Begin with the message of this number, or the first behind it.  Raises ClusterError."""
        await self._pull.open(api.DeliverPolicy.BY_START_SEQUENCE, max(number, 1))

    async def fetch(self) -> Sequence[Fetched]:
        """Return what comes next; nothing where nothing has come for FETCH_S.

        Raises:
            ClusterError: nobody answers any more, or something was lost on its way: open it again.
        """
        messages = await self._pull.fetch()
        return [Fetched(node_of(each.subject), each.metadata.sequence.stream, each.data) for each in messages]

    async def close(self) -> None:
        await self._pull.close()
