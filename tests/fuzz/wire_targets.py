"""Targets of the wire: frames, messages, both ends of a connection, blocks, batches and the data of events."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from struct import Struct

import msgspec

from sylvite.broker.settings import BrokerSettings
from sylvite.client.core import ClientCore
from sylvite.core.batch import HEADER, Batch, encode_batch
from sylvite.core.block import BLOCK_HEADER, EMPTY_BLOCK, BlockBuilder, check_published
from sylvite.core.event import EVENT_BYTES_MAX, Event, Gap, pack_data, unpack_data
from sylvite.core.level import Level
from sylvite.core.pattern import Filter
from sylvite.errors import ConnectionLost, EventTooBig, InvalidData, RemoteProtocolError, SylviteError
from sylvite.eventlog.checksum import sealed
from sylvite.eventlog.eventlog import LogSettings
from sylvite.wire.frame import FrameDecoder, encode_frame
from sylvite.wire.messages import (
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
    Publish,
    Refuse,
    Start,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Welcome,
    decode,
    encode,
)
from tests.broker.bus import GUEST, OWNER, Bus, Person
from tests.fuzz.mutate import INTEGERS, change_bytes, change_list, change_tree
from tests.fuzz.target import Target

PUBLISH, DELIVER = 2, 37
PUBLISH_HEAD = Struct("<BQ")
SETTINGS = BrokerSettings(log=LogSettings(segment_bytes=64 * 1024, keep_free_bytes=0))
GREETING = encode(Hello(1, "fuzz", 7))


def block(*tags: str, links: bool = False, size: int = 10) -> bytes:
    builder = BlockBuilder()
    for number, tag in enumerate(tags):
        builder.add(tag, pack_data({"n": number, "pad": "x" * size}), number if links else None, int(links))
    return builder.take()[0]


def batch(content: bytes, base: int = 5) -> bytes:
    return sealed(
        encode_batch(content, base=base, epoch=9, durable=2, stamp_ns=7, sender="uid:0", source_epoch=3, source_seq=1)
    )


BLOCKS = {
    "one": block("a/b"), "several": block("a/b", "c", "a/b", "é" * 20), "links": block("a", "b", links=True),
    "large": block(*["t/1", "t/2"] * 40, size=300), "empty": EMPTY_BLOCK,
}  # fmt: skip
BATCHES = {name: batch(content) for name, content in BLOCKS.items()} | {
    "cut": Batch(batch(BLOCKS["several"])).cut([1, 3])
}
EVERYTHING = Filter(("a",), ("b",), ("c",), ("d",), ("e*",), ("f",), ("g",), "data.n > 0")
CLIENT_SAYS: tuple[Message, ...] = (
    Publish(Level.SYNCED, 0, BLOCKS["several"]), Publish(255, 4, BLOCKS["links"]), Publish(0, 9, BLOCKS["one"]),
    Subscribe(1, Filter(), Start("oldest"), 1 << 20), Subscribe(2, EVERYTHING, Start("resume", 3, 9), 2**64 - 1, "cursor", True),
    Unsubscribe(1), Credit(1, 5), Advance(2, 1), Ask(1, "stats", {}), Ask(2, "cursor_seek", {"name": "cursor", "to": ["offset", 0, 0]}),
    Ask(3, "prune", {"before": 1, "dry_run": True}), Ask(4, "cursor_delete", {"name": "cursor"}), Ask(5, "cursors", {}), Ping(1), Pong(2),
)  # fmt: skip
BROKER_SAYS: tuple[Message, ...] = (
    Ack(0, 1, 2, 9, 2), Refuse("publish", 1, "not_allowed", "no", {"x": 1}), Refuse("ask", 2, "no_such_cursor", "", {"name": "a"}),
    Subscribed(1, 0, 5, 9), Deliver(1, BATCHES["several"]), Deliver(1, BATCHES["cut"]), Missed(1, 5, 9, "retention", None, ""),
    Missed(1, 5, 2, "reset", 3, "detail"), Progress(1, 30, 9), Answer(2, {"log": {"end": 1}}), Ping(1), Pong(2),
)  # fmt: skip
WELCOME = encode(Welcome(1, "broker:1", "00" * 16, 9, 5, "uid:0", 1 << 20))


# -- Mutators --------------------------------------------------------------------------------------------------------


def cut_frames(stream: bytes) -> list[bytes]:
    """Return the frames, and what is left as one more."""
    found: list[bytes] = []
    position = 0
    while position + 5 <= len(stream):
        end = position + 4 + int.from_bytes(stream[position : position + 4], "little")
        found.append(stream[position:end])
        position = end
    return [*found, stream[position:]] if position < len(stream) else found


def change_block(rng: random.Random, raw: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change one part of a block: its header, its tags, a column or the data; the sizes may follow, or lie."""
    if len(raw) < BLOCK_HEADER.size or rng.random() < 0.3:
        return change_bytes(rng, raw, others)
    count, tags_size, flags = BLOCK_HEADER.unpack_from(raw)
    start = BLOCK_HEADER.size
    tags, rest = raw[start : start + tags_size], raw[start + tags_size :]
    match rng.randrange(4):
        case 0:
            count = rng.choice((*INTEGERS, count + 1, count - 1)) % 2**32
        case 1:
            flags = rng.choice((1, 2, 3, 4, 2**31))
        case 2:
            tags = change_tree(rng, tags)
            tags_size = len(tags) if rng.random() < 0.8 else tags_size
        case _:
            columns = min(6 * count, len(rest))
            head, data = rest[:columns], rest[columns:]
            rest = change_bytes(rng, head) + data if rng.random() < 0.7 else head + change_tree(rng, data)
    return BLOCK_HEADER.pack(count, tags_size % 2**32, flags) + tags + rest


def change_batch(rng: random.Random, raw: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change header or block of a batch; mostly the checksum and the size follow."""
    if len(raw) < HEADER.size or rng.random() < 0.2:
        return change_bytes(rng, raw, others)
    fields = list(HEADER.unpack_from(raw))
    sender, content = raw[HEADER.size : HEADER.size + fields[4]], raw[HEADER.size + fields[4] :]
    if rng.random() < 0.5:
        at, width = rng.choice(((4, 16), (5, 64), (6, 64), (7, 64), (8, 63), (9, 64), (10, 64)))
        fields[at] = rng.choice((*INTEGERS, fields[at] + 1)) % 2**width
    else:
        content = change_block(rng, content, others)
    if rng.random() < 0.9:
        fields[1] = HEADER.size + len(sender) + len(content)
    changed = HEADER.pack(*fields) + sender + content
    return sealed(changed) if rng.random() < 0.9 else changed


def change_frame(rng: random.Random, frame: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change type, size or body of a frame."""
    if len(frame) < 5 or rng.random() < 0.15:
        return change_bytes(rng, frame, others)
    kind, body = frame[4], frame[5:]
    chance = rng.random()
    if chance < 0.1:
        return encode_frame(rng.randrange(256), body)
    if chance < 0.2:
        size = rng.choice((*INTEGERS, len(body), len(body) + 2)) % 2**32
        return size.to_bytes(4, "little") + frame[4:]
    if kind == PUBLISH:
        level, seq = PUBLISH_HEAD.unpack_from(body.ljust(PUBLISH_HEAD.size, b"\0"))
        if rng.random() < 0.3:
            level, seq = rng.choice((0, 1, 2, 3, 4, 200, 255)), rng.choice(INTEGERS) % 2**64
        return encode_frame(kind, PUBLISH_HEAD.pack(level, seq) + change_block(rng, body[PUBLISH_HEAD.size :]))
    if kind == DELIVER:
        return encode_frame(kind, body[:4] + change_batch(rng, body[4:]))
    return encode_frame(kind, change_tree(rng, body))


def change_stream(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """Change one frame, or their order."""
    frames = cut_frames(raw)
    if not frames or rng.random() < 0.1:
        return change_bytes(rng, raw, others)
    if rng.random() < 0.3:
        stranger = rng.choice(cut_frames(rng.choice(others)) or [b""])
        frames = change_list(rng, frames, lambda: stranger)
    else:
        at = rng.randrange(len(frames))
        frames[at] = change_frame(rng, frames[at], others)
    return b"".join(frames)


def change_message(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    return change_frame(rng, encode_frame(raw[0] if raw else 0, raw[1:]), others)[4:]


# -- Targets ---------------------------------------------------------------------------------------------------------


def run_frames(raw: bytes) -> None:
    """However the bytes are cut, the same frames come out, or the same error."""
    found: list[tuple[list[tuple[int, bytes]], str]] = []
    for step in (len(raw) or 1, 1 + len(raw) // 7):
        decoder = FrameDecoder(4096)
        frames: list[tuple[int, bytes]] = []
        problem = ""
        try:
            for start in range(0, len(raw), step):
                decoder.feed(raw[start : start + step])
                frames.extend(decoder.frames())
        except RemoteProtocolError as error:
            problem = error.code
        found.append((frames, problem))
    # What came before an error is told of only where it was whole before the error was there.
    assert found[0][1] == found[1][1], "a cut changes what is wrong"
    assert found[0][1] or found[0] == found[1], "a cut changes the frames"


def run_message(raw: bytes) -> None:
    """What can be read, can be said: and is the same then."""
    message = decode(raw[0] if raw else 0, raw[1:])
    said = encode(message)
    assert encode(decode(said[4], said[5:])) == said, f"{message} is another one when it is said again"


def run_broker(raw: bytes) -> None:
    """Whatever a peer says, nobody else notices, and what was taken from it can be read."""
    bus = Bus(SETTINGS)
    person = Person(bus, GUEST if raw[:1] == b"g" else OWNER)
    person.connection.receive(raw[1:])
    bus.run()
    person.wire.taken.clear()
    person.connection.drained()
    bus.pass_s(1.0)
    person.leave()
    bus.run()
    assert not bus.broker.connections, "a connection that is gone is not forgotten"
    assert not bus.failures, f"the broker would stop: {bus.failures}"
    reader = bus.person(source_epoch=99)
    reader.publish("good/one", seq=0, level=Level.WRITTEN)
    reader.subscribe(at="oldest")
    found = [message for message in reader.read() if isinstance(message, Deliver)]
    tags = [event.tag for one in found for event in Batch(one.batch).events() if isinstance(event, Event)]
    assert "good/one" in tags, f"another client does not get what it has published: {tags}"


def run_client(raw: bytes) -> None:
    """Whatever a broker says, its client says that it is wrong, or goes on."""
    core = ClientCore(7, name="fuzz")
    core.connect()
    feed = core.subscribe(Filter(), Start("oldest"))
    core.ask("stats", {})
    core.publish(core.ticket(BLOCKS["one"], 1, None))
    core.feed(raw)
    while feed.waiting:
        core.take_events(feed)
    core.take_bytes()


def run_batch(raw: bytes) -> None:
    """A batch that can be read is read in one way, whole or cut."""
    found = Batch(raw)
    items = found.events()
    assert len(items) == found.count == len(found.numbers)
    _ = found.tags, found.sender, found.last, found.origin()
    for row in range(min(found.count, 3)):
        _ = found.offset(row), found.link(row), found.packed_data(row)
    rows = list(range(0, found.count, 2))
    if found.columns.offsets is None and rows and found.base < 2**62:
        cut = Batch(found.cut(rows)).events()
        assert [_shown(item) for item in cut] == [_shown(items[row]) for row in rows], "a cut shows other events"


def _shown(item: Event | Gap) -> str:
    return (
        f"{item.offset} {item.tag} {item.data} {item.cause}" if isinstance(item, Event) else f"{item.first} {item.next}"
    )


def run_block(raw: bytes) -> None:
    """What a broker takes, every reader can read."""
    check_published(raw, 0, EVENT_BYTES_MAX)
    try:
        run_batch(batch(raw))
    except RemoteProtocolError as error:
        raise AssertionError(f"it is taken, and cannot be read: {error}") from error


def run_data(raw: bytes) -> None:
    """What a reader is shown can be published again."""
    found = unpack_data(raw)
    try:
        packed = pack_data(found)
    except InvalidData as error:
        raise AssertionError(f"it is read, and cannot be packed: {error}") from error
    assert pack_data(unpack_data(packed)) == packed


# -- Seeds -----------------------------------------------------------------------------------------------------------


def _streams(greeting: bytes, says: Sequence[Message]) -> Mapping[str, bytes]:
    one = {f"{number:02d}-{type(message).__name__}": encode(message) for number, message in enumerate(says)}
    return {name: greeting + said for name, said in one.items()} | {
        "all": greeting + b"".join(one.values()), "bye": greeting + encode(Bye("x")), "nothing": greeting,
    }  # fmt: skip


def _messages() -> Mapping[str, bytes]:
    said = [*cut_frames(GREETING), *cut_frames(WELCOME), *map(encode, (*CLIENT_SAYS, *BROKER_SAYS, Bye("x")))]
    return {f"{number:02d}": frame[4:] for number, frame in enumerate(said)}


def _broker_streams() -> Mapping[str, bytes]:
    streams = _streams(GREETING, CLIENT_SAYS)
    return {name: b"o" + said for name, said in streams.items()} | {"guest": b"g" + streams["all"]}


def _change_broker_stream(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    return raw[:1] + change_stream(rng, raw[1:], [other[1:] for other in others[:3]])


DATA = {
    "small": {"a": 1}, "nested": {"a": [{"b": [1, -1, 2.5, None, True]}], "é": "ü"}, "bytes": {"x": b"\0\1"},
    "job": {"jid": "20261123", "return": {"web1": {"result": True, "comment": "x" * 50}}}, "empty": {},
}  # fmt: skip


def _change_data(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    return change_tree(rng, raw) if rng.random() < 0.7 else change_bytes(rng, raw, others)


TARGETS: dict[str, Target] = {
    "frames": Target(run_frames, (), lambda: _streams(GREETING, CLIENT_SAYS), change_stream),
    "messages": Target(run_message, (RemoteProtocolError,), _messages, change_message),
    "broker": Target(run_broker, (), _broker_streams, _change_broker_stream, 20),
    "client": Target(
        run_client, (RemoteProtocolError, ConnectionLost, SylviteError), lambda: _streams(WELCOME, BROKER_SAYS), change_stream, 2
    ),
    "blocks": Target(run_block, (RemoteProtocolError, EventTooBig), lambda: BLOCKS, change_block),
    "batches": Target(run_batch, (RemoteProtocolError,), lambda: BATCHES, change_batch),
    "data": Target(
        run_data, (InvalidData,), lambda: {name: msgspec.msgpack.encode(one) for name, one in DATA.items()},
        _change_data,
    ),
}  # fmt: skip
