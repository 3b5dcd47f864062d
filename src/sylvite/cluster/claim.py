"""Claim: one master has a name, and no other one at the same time.

    NODE.claim.bridge   the entry of the bucket of what masters share (shared.py): whose bridge has the name NODE

Who wants the name asks whoever has the claim whether it is still there (cluster/words.py): it answers at once, or it is dead, or
cannot be heard.  Only then the claim is taken from it.  All look at it every few seconds: who has stood still meanwhile, or was cut
off, finds that another one has it, and stops.  So of two that are there at the same time the one that was first goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import nats.errors
from nats.aio.msg import Msg
from nats.js.errors import APIError, NotFoundError

from sylvite.cluster import words
from sylvite.cluster.connection import Connection
from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.shared import Shared, bucket_name, decode, encode
from sylvite.cluster.stream import HANGS_S, say_subject
from sylvite.errors import ClusterError, ClusterUnfit, ClusterUnreachable, NameTaken

SILENT_S = 3.0
"""Who does not answer for so long has gone."""
ASK_S = 0.5
GOING_S = 6.0
"""Who still answers after that does not go: a bridge whose master was killed takes a moment to end."""
LOOK_S = 2.0
PART, ITEM = "claim", "bridge"
_WRONG_LAST = 10071
"""Of nats-server: the entry is not any more what we have read."""
logger = logging.getLogger("sylvite.cluster")


class Claim(msgspec.Struct, frozen=True):
    """Who has a name: `run` is another one for each process; empty: it has left the cluster.  `boot`, `space`, `pid`: where that runs, for whoever is on the
    same machine.  `key`: the fingerprint of the `master.key` beside it, where there is one."""

    run: str
    host: str = ""
    boot: str = ""
    space: str = ""
    pid: int = 0
    key: str = ""

    @property
    def has_left(self) -> bool:
        return not self.run

    @property
    def where(self) -> str:
        return f"on {self.host or 'an unknown machine'}, process {self.pid}"


class Seen(NamedTuple):
    """What is there: `number` is that of the entry, which the next one has to follow; 0: nothing was ever there."""

    claim: Claim | None
    number: int


def may_publish(settings: ClusterSettings) -> tuple[str, ...]:
    """Return the subjects that the user of a master needs to publish to, for its claim, beside those of what it shares."""
    return (f"$JS.API.STREAM.MSG.GET.KV_{bucket_name(settings)}",)


def of_this_process(key: str = "") -> Claim:
    return Claim(secrets.token_hex(8), socket.gethostname(), _boot(), _space(), os.getpid(), key)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _space() -> str:
    """Return in which space of process ids we are: a container has its own."""
    return os.readlink("/proc/self/ns/pid")


def has_ended(claim: Claim) -> bool:
    """Say whether whoever has a claim has certainly ended: it was on this machine, and is not there any more."""
    if claim.has_left:
        return True
    if claim.pid <= 0 or (claim.boot, claim.space) != (_boot(), _space()):
        return False
    try:
        os.kill(claim.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


class Claims:
    """The claims of a cluster, over a connection that somebody else closes.  `node`: the name that it is about."""

    def __init__(self, connection: Connection, node: str) -> None:
        self.node = node
        self._connection = connection
        self._settings = connection.settings
        self._stream = f"KV_{bucket_name(self._settings)}"
        self._subject = f"$KV.{bucket_name(self._settings)}.{encode(node)}.{PART}.{ITEM}"
        self._say = say_subject(self._settings, node)
        self._times_back = 0
        connection.on_change(self._changed)

    async def read(self) -> Seen:
        """Raises ClusterError."""
        with self._connection.asking(f"looking who is called {self.node}"):
            try:
                async with asyncio.timeout(HANGS_S):
                    found = await self._connection.jetstream.get_last_msg(self._stream, self._subject)
            except NotFoundError:
                return Seen(None, 0)
        number = found.seq or 0
        if not found.data:
            return Seen(None, number)
        try:
            return Seen(msgspec.json.decode(found.data, type=Claim), number)
        except msgspec.DecodeError as error:
            raise ClusterUnfit(
                f"the entry {self._subject}",
                f"is none of ours: {error}",
                f"delete it from {bucket_name(self._settings)}",
            ) from error

    async def holder(self) -> Claim | None:
        """Return who has the name and is there, or may be; None where nobody has it, or who had it has gone."""
        seen = await self.read()
        return seen.claim if seen.claim is not None and await self.is_there(seen.claim) else None

    async def is_there(self, claim: Claim) -> bool:
        """Say whether whoever has a claim answers.  Raises ClusterError."""
        return not has_ended(claim) and await self._answers(claim)

    async def write(self, claim: Claim | None, number: int) -> int | None:
        """Follow the entry of this number with another; return its number.  `claim`: None: nobody has the name.

        None is returned where the entry was not the last one any more.  Raises ClusterError.
        """
        headers = {"Nats-Expected-Last-Subject-Sequence": str(number), "Nats-Expected-Stream": self._stream}
        if claim is None:
            headers["KV-Operation"] = "DEL"
        data = b"" if claim is None else msgspec.json.encode(claim)
        with self._connection.asking(f"taking the name {self.node}"):
            try:
                async with asyncio.timeout(HANGS_S):
                    return (await self._connection.jetstream.publish(self._subject, data, headers=headers)).seq
            except APIError as error:
                if error.err_code == _WRONG_LAST:
                    return None
                raise

    async def say(self, word: words.Word) -> None:
        with self._connection.asking("speaking to other masters"):
            await self._connection.nats.publish(self._say, words.encode(word))

    @asynccontextmanager
    async def heard(self) -> AsyncGenerator[asyncio.Queue[words.Word]]:
        """Collect what is said under this name while this lasts."""
        found = asyncio.Queue[words.Word]()

        async def hear(message: Msg) -> None:
            if (word := words.decode(message.data)) is not None:
                found.put_nowait(word)

        with self._connection.asking("listening to other masters"):
            listening = await self._connection.nats.subscribe(self._say, cb=hear)  # type: ignore[reportUnknownMemberType] - nats-py leaves a type in it open
        try:
            yield found
        finally:
            with suppress(nats.errors.Error, OSError):  # It has gone with the connection.
                await listening.unsubscribe()

    async def _answers(self, claim: Claim) -> bool:
        """Ask whoever has a claim whether it is there; it has SILENT_S, all of it with a connection.  Raises ClusterError."""
        loop = asyncio.get_running_loop()
        async with self.heard() as heard:
            begun = True
            while begun:
                times_back, until_s = self._times_back, loop.time() + SILENT_S
                while loop.time() < until_s:
                    await self.say(words.Who(claim.run))
                    with suppress(TimeoutError):
                        async with asyncio.timeout(ASK_S):
                            while await heard.get() != words.Here(claim.run):
                                pass
                            return True
                begun = times_back != self._times_back
                if not self._connection.is_connected:
                    raise ClusterUnreachable(self._connection.servers, f"nobody can say whether {self.node} is there")
        return False

    def _changed(self, is_connected: bool) -> None:  # noqa: FBT001 - as Connection.on_change calls it
        self._times_back += is_connected


async def claims_of_all(connection: Connection) -> dict[str, Claim]:
    """Return the claim of each master that has one, or has left.  Raises ClusterError."""
    bucket = bucket_name(connection.settings)
    with connection.asking("looking who is in the cluster"):
        try:
            info = await connection.jetstream.stream_info(
                f"KV_{bucket}", subjects_filter=f"$KV.{bucket}.*.{PART}.{ITEM}"
            )
        except NotFoundError:
            return {}
    nodes = [decode(subject.split(".")[2]) for subject in info.state.subjects or {}]
    seen = [(node, await Claims(connection, node).read()) for node in sorted(nodes)]
    return {node: found.claim for node, found in seen if found.claim is not None}


class Claiming:
    """Having a name: `take` it, `keep` it, `release` it.  `rival`: is called with where another master runs that wanted it."""

    def __init__(self, connection: Connection, node: str, ours: Claim, rival: Callable[[str], None]) -> None:
        self._claims, self._ours, self._rival = Claims(connection, node), ours, rival
        self._shared = Shared(connection, node)
        self._number = 0
        """Of our entry; 0: we have none."""

    async def take(self) -> None:
        """Return once the name is ours.

        Raises:
            NameTaken: another one has it, and is there.
            ClusterError: the servers do not answer, or refuse.
        """
        await self._shared.open()
        until_s = asyncio.get_running_loop().time() + GOING_S
        while not self._number:
            seen = await self._claims.read()
            if seen.claim is None or seen.claim.run == self._ours.run or not await self._claims.is_there(seen.claim):
                # Where somebody else was faster, he is asked next.
                self._number = await self._claims.write(self._ours, seen.number) or 0
            elif asyncio.get_running_loop().time() > until_s:
                await self._claims.say(words.Yields(self._ours.where))
                raise NameTaken(self._claims.node, f"another master, {seen.claim.where}, has it and answers")
            else:
                await asyncio.sleep(ASK_S)
        await self._claims.say(words.Here(self._ours.run))

    async def keep(self) -> None:
        """Answer who asks for us, and look whether the name is still ours, until it is cancelled.

        Raises:
            NameTaken: another master has it.
            ClusterError: the servers refuse.
        """
        async with self._claims.heard() as heard:
            while True:
                try:
                    async with asyncio.timeout(LOOK_S):
                        while await self._is_no_news(await heard.get()):
                            pass
                except TimeoutError:
                    pass
                await self._look()

    async def release(self) -> None:
        """Let the next one have the name at once; where that cannot be said, it finds out by asking."""
        try:
            if self._number:
                await self._claims.write(None, self._number)
        except ClusterError as error:
            logger.debug("the name is not given back: %s", error)

    async def _is_no_news(self, word: words.Word) -> bool:
        """Answer a word; return False where it is a reason to look who has the name."""
        match word:
            case words.Who(run) if run == self._ours.run:
                with suppress(ClusterUnreachable):  # Between two servers; whoever asks, asks again.
                    await self._claims.say(words.Here(self._ours.run))
            case words.Here(run):
                return run == self._ours.run
            case words.Yields(where):
                self._rival(where)
            case _:
                pass
        return True

    async def _look(self) -> None:
        try:
            seen = await self._claims.read()
            if seen.claim is None or seen.claim.has_left:
                # The bucket is another one than it was, say; or we were taken for gone.
                self._number = await self._claims.write(self._ours, seen.number) or self._number
                return
        except ClusterUnreachable as error:
            logger.debug("who has the name is not known: %s", error)
            return
        if seen.claim.run != self._ours.run:
            reason = f"another master, {seen.claim.where}, has taken it while this one was not heard"
            raise NameTaken(self._claims.node, reason)
        self._number = seen.number
