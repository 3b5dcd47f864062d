"""Shared: what the masters of a cluster let each other know of themselves, in one bucket of JetStream's key-value store.

NAME_shared         the bucket; NAME is the cluster's
NODE.PART.ITEM      the key of an entry: master NODE says of ITEM, in the part PART (`keys`, say); NODE alone may write there

It is a place to meet, not the truth: each part keeps what it needs in this master's own files, and merges.  So a bucket that
is lost, or older than it was, is filled again: a watch begins anew, and whoever finds that entries of its own are not there
puts them again.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import NamedTuple, Self

from nats.aio.msg import Msg
from nats.js import api
from nats.js.errors import NotFoundError

from sylvite.cluster.buckets import bucket_config, check_bucket
from sylvite.cluster.connection import Connection
from sylvite.cluster.pull import HANGS_S, Pull
from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.stream import check_node
from sylvite.errors import ClusterError, InvalidInput

BYTES_MAX = 1024 * 1024 * 1024
VALUE_BYTES_MAX = 300 * 1024
ITEM_BYTES_MAX = 512
KEEP_DELETED_S = 7 * 86_400.0
"""How long it is seen that an entry was deleted; later it is not there at all."""
FETCH_S = 2.0
AGAIN_S = (0.25, 5.0)
_OPERATION = "KV-Operation"
_unsafe = re.compile(rb"[^A-Za-z0-9_-]")
_safe = re.compile(r"(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+|=").fullmatch
_escaped = re.compile(rb"=([0-9A-F]{2})")
_is_part = re.compile(r"[a-z_]{1,32}").fullmatch

logger = logging.getLogger("sylvite.cluster.shared")


class Entry(NamedTuple):
    """`node`: the master that wrote it.  `value`: None where it was deleted."""

    node: str
    item: str
    value: bytes | None


def encode(text: str) -> str:
    """Return a text as one word of a subject: what is no letter, digit, - or _ becomes =XX, byte by byte."""
    found = _unsafe.sub(lambda match: b"=%02X" % match[0][0], text.encode())
    return found.decode() or "="


def decode(word: str) -> str:
    """Return what `encode` was given.  Raises ValueError: it does not come from there."""
    if _safe(word) is None:
        raise ValueError(f"{word[:80]!r} is none of our words")
    return "" if word == "=" else _escaped.sub(lambda match: bytes([int(match[1], 16)]), word.encode()).decode()


def bucket_name(settings: ClusterSettings) -> str:
    return f"{settings.name}_shared"


def may_publish(settings: ClusterSettings, node: str) -> tuple[str, ...]:
    """Return the subjects that the user of a master needs to publish to, for what it shares: no entry of another master's."""
    bucket = bucket_name(settings)
    return (
        f"$KV.{bucket}.{encode(node)}.>",
        f"$JS.API.STREAM.INFO.KV_{bucket}",
        f"$JS.API.STREAM.CREATE.KV_{bucket}",
        f"$JS.API.CONSUMER.CREATE.KV_{bucket}.>",
        f"$JS.API.CONSUMER.INFO.KV_{bucket}.>",
        f"$JS.API.CONSUMER.MSG.NEXT.KV_{bucket}.>",
    )


def stream_config(settings: ClusterSettings) -> api.StreamConfig:
    """Return the settings that the bucket is made with."""
    config = bucket_config(
        settings, bucket_name(settings), "What the masters of a Sylvite cluster let each other know",
        bytes_max=BYTES_MAX, value_bytes_max=VALUE_BYTES_MAX + 4 * 1024,
    )  # fmt: skip
    return replace(config, allow_msg_ttl=True)


def _nothing() -> None:
    """Nobody wants to know."""


class Shared:
    """The bucket, over a connection that somebody else closes.  `node`: who we are."""

    def __init__(self, connection: Connection, node: str) -> None:
        self.node = check_node(node)
        self._connection = connection
        self._settings = connection.settings
        self._stream = f"KV_{bucket_name(self._settings)}"
        self._is_open = False
        self._times_back = 0
        connection.on_change(self._changed)

    @property
    def connection(self) -> Connection:
        return self._connection

    async def open(self) -> Self:
        """Make the bucket if it is not there.

        Raises:
            ClusterUnfit: what is there under this name is none of ours.
            ClusterError: the servers do not answer, or refuse.
        """
        jetstream = self._connection.jetstream
        with self._connection.asking(f"looking at the bucket {bucket_name(self._settings)}"):
            try:
                info = await jetstream.stream_info(self._stream)
            except NotFoundError:
                config = stream_config(self._settings)
                info = await jetstream.add_stream(config)  # type: ignore[reportUnknownMemberType] - nats-py leaves a type in it open
        check_bucket(self._settings, bucket_name(self._settings), info.config)
        self._is_open = True
        return self

    async def put(self, part: str, item: str, value: bytes) -> None:
        """Write an entry below our own name.

        Raises:
            InvalidInput: it is too large.
            ClusterError: it may be there, or not: put it again.
        """
        if len(value) > VALUE_BYTES_MAX:
            raise InvalidInput(f"{part} {item[:80]!r} has {len(value)} bytes; at most {VALUE_BYTES_MAX} are shared")
        await self._publish(part, item, value, {}, None)

    async def delete(self, part: str, item: str) -> None:
        """Delete an entry of our own; it may not be there.  Raises ClusterError: it may be gone, or not."""
        await self._publish(part, item, b"", {_OPERATION: "DEL"}, KEEP_DELETED_S)

    async def watch(self, part: str, began: Callable[[], None] = _nothing) -> AsyncGenerator[Entry | None]:
        """Yield all entries that there are, of all masters, then None once, then each that changes, for ever.

        It begins anew, None and all, when the connection was lost or the bucket is another one: who reads takes each entry as
        often as it comes.  An entry that was deleted and one that was never there are not always told apart, so what is not
        there by None does not exist.

        `began`: called each time before the first entry, as what was known to be in the bucket may not be there any more.
        """
        pause_s, told = AGAIN_S[0], ""
        while True:
            try:
                await self.open()
                began()
                async with aclosing(self._entries(part)) as entries:
                    async for entry in entries:
                        pause_s, told = AGAIN_S[0], ""
                        yield entry
            except ClusterError as error:
                self._is_open = False
                if str(error) != told:
                    logger.warning("what the masters share as %s: %s", part, error)
                told = str(error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, AGAIN_S[1])

    async def _publish(self, part: str, item: str, value: bytes, headers: dict[str, str], ttl_s: float | None) -> None:
        subject = f"{self._below(part, self.node)}{_word_of(item)}"
        if not self._is_open:
            await self.open()
        headers["Nats-Expected-Stream"] = self._stream
        with self._connection.asking(f"sharing {part}"):
            try:
                async with asyncio.timeout(HANGS_S):
                    await self._connection.jetstream.publish(subject, value, headers=headers, msg_ttl=ttl_s)
            except BaseException:
                self._is_open = False  # It may not be there any more.
                raise

    async def _entries(self, part: str) -> AsyncGenerator[Entry | None]:
        """Yield until something is not as it was: then from the beginning.  Raises ClusterError."""
        times_back = self._times_back
        subject = f"{self._below(part, '*')}>"
        reader = Pull(self._connection, self._stream, subject, "what the masters share", fetch_s=FETCH_S)
        await reader.open(api.DeliverPolicy.LAST_PER_SUBJECT)
        has_all = not reader.left
        try:
            if has_all:
                yield None
            while times_back == self._times_back:
                for message in await reader.fetch():
                    if (entry := _entry_of(message)) is not None:
                        yield entry
                if not reader.left and not has_all:
                    has_all = True
                    yield None
        finally:
            await reader.close()

    def _below(self, part: str, node: str) -> str:
        if not _is_part(part):
            raise InvalidInput(f"{part!r} is no name of what masters share: up to 32 of a to z, and _")
        return f"$KV.{bucket_name(self._settings)}.{node if node == '*' else encode(node)}.{part}."

    def _changed(self, is_connected: bool) -> None:  # noqa: FBT001 - as Connection.on_change calls it
        self._times_back += is_connected


def _word_of(item: str) -> str:
    """Raises InvalidInput: it is too long."""
    if len(item.encode()) > ITEM_BYTES_MAX:
        raise InvalidInput(f"{item[:80]!r} is too long to be shared: at most {ITEM_BYTES_MAX} bytes")
    return encode(item)


def _entry_of(message: Msg) -> Entry | None:
    """Return what a message says; None where it is none of ours."""
    words = message.subject.split(".")[2:]
    try:
        node, _, item = words
        is_deleted = _OPERATION in (message.headers or {})
        return Entry(decode(node), decode(item), None if is_deleted else message.data)
    except ValueError as error:
        logger.warning("an entry %s in what the masters share is none of ours: %s", message.subject[:200], error)
        return None
