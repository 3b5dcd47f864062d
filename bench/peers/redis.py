"""Redis: pub/sub, which keeps nothing, and Streams, which keep what was added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from itertools import islice
from typing import Any, ClassVar

from bench.installed import debian_bytes, distribution_bytes
from bench.peers.peer import Connection, Data, Event, Guarantee, Pattern, Peer, ServerProcess, Tally, program
from bench.versions import distribution_versions, first_line

PIPELINE = 1000
"""Commands in one pipeline."""
READ = 1000
"""Entries of one XREAD."""
BLOCK_MS = 1000
"""How long one XREAD waits: less than the client waits for an answer."""


class PubSubConnection(Connection):
    def __init__(self, path: str) -> None:
        msgpack: Any = import_module("msgspec.msgpack")
        self._encode, self._decode = msgpack.Encoder().encode, msgpack.Decoder(dict).decode
        self._client: Any = import_module("redis").Redis(unix_socket_path=path)

    def publish_many(self, events: Iterable[Event]) -> None:
        encode = self._encode
        left = iter(events)
        with self._client.pipeline(transaction=False) as pipeline:
            while group := [(tag, encode(data)) for tag, data in islice(left, PIPELINE)]:
                for tag, body in group:
                    pipeline.publish(tag, body)
                pipeline.execute()

    def publish_one(self, tag: str, data: Data) -> None:
        self._client.publish(tag, self._encode(data))

    def receive(self, pattern: Pattern, tally: Tally) -> None:
        take, decode = tally.take, self._decode
        with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
            subscription.psubscribe(pattern.text if pattern.is_glob else pattern.text + "*")
            with tally.watched():
                for message in subscription.listen():
                    if take(message["channel"].decode(), decode(message["data"])):
                        break

    def close(self) -> None:
        self._client.close()


class StreamsConnection(PubSubConnection):
    """One stream for each kind of tag, which is its first two segments: so a reader need not read everything."""

    def publish_many(self, events: Iterable[Event]) -> None:
        encode = self._encode
        left = iter(events)
        with self._client.pipeline(transaction=False) as pipeline:
            while group := [(tag, encode(data)) for tag, data in islice(left, PIPELINE)]:
                for tag, body in group:
                    pipeline.xadd(_kind(tag), {"tag": tag, "data": body})
                pipeline.execute()

    def publish_one(self, tag: str, data: Data) -> None:
        self._client.xadd(_kind(tag), {"tag": tag, "data": self._encode(data)})

    def receive(self, pattern: Pattern, tally: Tally) -> None:
        kind = _kind(pattern.text)
        newest = self._client.xrevrange(kind, count=1)
        self._read(kind, newest[0][0] if newest else b"0", pattern, tally)

    def replay(self, tally: Tally) -> None:
        self._read("salt/job", b"0", Pattern("salt/job/"), tally)

    def _read(self, kind: str, after: bytes, pattern: Pattern, tally: Tally) -> None:
        take, decode, read = tally.take, self._decode, self._client.xread
        matches = pattern.matches if pattern.is_glob else None
        with tally.watched():
            while True:
                for _, entries in read({kind: after}, count=READ, block=BLOCK_MS):
                    for identifier, fields in entries:
                        after = identifier
                        tag = fields[b"tag"].decode()
                        if (matches is None or matches(tag)) and take(tag, decode(fields[b"data"])):
                            return


def _kind(tag: str) -> str:
    return "/".join(tag.split("/", 2)[:2])


class Redis(Peer):
    title = "Redis pub/sub"
    guarantee = Guarantee.MEMORY
    promise = "at most once"
    advice = (
        f'redis-py with hiredis (its README, "Performance"); pipelines of {PIPELINE} commands and a UNIX socket '
        "(Redis's documentation on latency and pipelining); persistence off"
    )
    packages: ClassVar[tuple[str, ...]] = ("redis-server",)
    cannot: ClassVar[Mapping[str, str]] = {"replay": "it keeps nothing; see Redis Streams"}
    _persistence: ClassVar[tuple[str, ...]] = ("--appendonly", "no")
    _process: ServerProcess | None = None

    def start(self) -> None:
        path = self.folder / "redis.sock"
        command = [program("redis-server"), "--port", "0", "--unixsocket", path, "--dir", self.folder, "--save", ""]
        self._process = ServerProcess([*command, *self._persistence], self.folder)
        self._process.wait_until(path.exists)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def pids(self) -> dict[str, int]:
        assert self._process is not None
        return {"redis-server": self._process.pid}

    def load(self) -> None:
        for name in ("redis", "hiredis", "msgspec.msgpack"):
            import_module(name)

    def connect(self) -> PubSubConnection:
        return PubSubConnection(str(self.folder / "redis.sock"))

    def command(self, tag: str) -> list[str]:
        return [program("redis-cli"), "-s", str(self.folder / "redis.sock"), "PUBLISH", tag, '{"n":1}']

    def script(self, tag: str) -> str:
        path = str(self.folder / "redis.sock")
        return f"import json, redis\nredis.Redis(unix_socket_path={path!r}).publish({tag!r}, json.dumps({{'n': 1}}))\n"

    def versions(self) -> dict[str, str]:
        found = first_line([program("redis-server"), "--version"])
        return {"redis-server": found.partition("v=")[2].split()[0], **distribution_versions("redis", "hiredis")}

    def installed_bytes(self) -> int:
        return distribution_bytes("redis", "hiredis") + debian_bytes("redis-server", "redis-tools")


class RedisStreams(Redis):
    title = "Redis Streams"
    guarantee = Guarantee.WRITTEN
    promise = "written; synced every second"
    advice = (
        f"as pub/sub, with XADD and XREAD of up to {READ} entries; `appendonly yes`, `appendfsync everysec`; a stream for "
        "the first two segments of a tag"
    )
    cannot: ClassVar[Mapping[str, str]] = {}
    notes: ClassVar[Mapping[str, str]] = {
        "globs": "it filters nothing: readers get the whole stream and filter themselves"
    }
    _persistence = ("--appendonly", "yes", "--appendfsync", "everysec")

    def connect(self) -> StreamsConnection:
        return StreamsConnection(str(self.folder / "redis.sock"))

    def command(self, tag: str) -> list[str]:
        add = ["XADD", _kind(tag), "*", "tag", tag, "data", '{"n":1}']
        return [program("redis-cli"), "-s", str(self.folder / "redis.sock"), *add]

    def script(self, tag: str) -> str:
        path = str(self.folder / "redis.sock")
        return (
            "import json, redis\n"
            f"client = redis.Redis(unix_socket_path={path!r})\n"
            f"client.xadd({_kind(tag)!r}, {{'tag': {tag!r}, 'data': json.dumps({{'n': 1}})}})\n"
        )


class RedisStreamsAlways(RedisStreams):
    title = "Redis Streams, fsync always"
    guarantee = Guarantee.SYNCED
    promise = "synced"
    advice = "as Streams, with `appendfsync always` (its documentation on persistence)"
    _persistence = ("--appendonly", "yes", "--appendfsync", "always")
