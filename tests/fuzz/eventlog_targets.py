"""Targets of the log: one segment, a folder as recovery finds it, and archives."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping, Sequence

import msgspec

from sylvite.cli.archive import MAGIC as ARCHIVE_MAGIC
from sylvite.cli.archive import read_archive
from sylvite.cli.log_import import _Importer  # pyright: ignore[reportPrivateUsage] - the part of the command under its file
from sylvite.cli.template import encode_json
from sylvite.core.batch import HEADER, MAGIC, Batch
from sylvite.core.event import Event
from sylvite.errors import EventLogError, InvalidInput, LogDamaged, LogNotUnderstood, RemoteProtocolError
from sylvite.eventlog.checksum import is_whole, with_crc, without_crc
from sylvite.eventlog.cursors import Cursor
from sylvite.eventlog.eventlog import EventLog, LogSettings
from sylvite.eventlog.segment import START, Damage, decode_header, scan
from sylvite.testing.storage import MemoryStorage
from tests.eventlog.logs import NOW_NS, append, new_batch, read_all, sync
from tests.fuzz.mutate import INTEGERS, change_bytes, change_list, change_tree
from tests.fuzz.target import Target
from tests.fuzz.wire_targets import BATCHES, change_batch

SETTINGS = LogSettings(segment_bytes=6000, keep_free_bytes=0, tail_bytes=0)
Folder = dict[str, bytes]


def storage_of(folder: Mapping[str, bytes]) -> MemoryStorage:
    storage = MemoryStorage()
    for name, content in folder.items():
        storage.open(name, create=True).write_at(0, [content])
    return storage


def folder_of(storage: MemoryStorage) -> Folder:
    """Return the files, without the zeros that are reserved behind their end."""
    names = [name for name in storage.names() if name != "quarantine"]
    return {name: bytes(storage.content(name)).rstrip(b"\0") for name in names}


def open_log(storage: MemoryStorage, *, accept_loss: bool) -> EventLog:
    return EventLog(storage, SETTINGS, now_ns=NOW_NS, accept_loss=accept_loss)


# -- Targets ---------------------------------------------------------------------------------------------------------


def run_segment(raw: bytes) -> None:
    """A scan says of every byte what it is, once, and calls a batch only what is whole."""
    decode_header(raw[:START], "seg")
    storage = storage_of({"seg": raw})
    position = START
    for found in scan(storage.open("seg"), None, held=range(2**62)):
        start = found.start if isinstance(found, Damage) else found.position
        assert start == position, f"what lies between {position} and {start} is not told"
        if isinstance(found, Damage):
            assert found.end > start
            position = found.end
        else:
            assert is_whole(found.batch.raw)
            assert raw[start : start + len(found.batch.raw)] == found.batch.raw
            position = start + len(found.batch.raw)
    assert not raw[position:].strip(b"\0"), "the scan stops before the end"


def run_log(raw: bytes) -> None:
    """Whatever is in the folder: it is refused and left as it is, or opened, read and written to, again and again."""
    try:
        folder = msgspec.msgpack.decode(raw, type=dict[str, bytes])
    except msgspec.DecodeError:
        return
    storage = storage_of(folder)
    before = {name: bytes(storage.content(name)) for name in folder}
    try:
        log = open_log(storage, accept_loss=False)
    except LogDamaged:
        log = open_log(storage.after_kill(), accept_loss=True)
        storage = log.storage  # pyright: ignore[reportAssignmentType] - what it was opened with
    except LogNotUnderstood:
        # Recovery may have cut a tear before it came to what it does not know; nothing that is whole is gone.
        assert {name: bytes(storage.content(name)) for name in folder if name == "LOG"} == {
            name: content for name, content in before.items() if name == "LOG"
        }
        raise
    shown = _shown(log)
    append(log, 900_000)
    sync(log)
    log.finish(NOW_NS)
    assert isinstance(storage, MemoryStorage)
    again = open_log(storage.after_kill(), accept_loss=False)
    assert _shown(again)[: len(shown)] == shown, "the next start reads something else"
    assert len(_shown(again)) > len(shown), "what was appended is not there"


def _shown(log: EventLog) -> list[str]:
    """What a reader gets.

    A batch whose checksum is right and whose block is none was forged by someone who can write to the folder: he could
    have changed the events as well.  Whoever decodes it hears of it.
    """
    found: list[str] = []
    reader = log.reader(log.oldest)
    while items := reader.read(8000, log.end):
        for item in items:
            try:
                events = item.events() if isinstance(item, Batch) else [item]
            except RemoteProtocolError:
                events = []
                found.append("forged")
            found += [
                f"{one.offset} {one.tag} {one.data}" if isinstance(one, Event) else f"{one.first}..{one.next}"
                for one in events
            ]
    return found


def run_archive(raw: bytes) -> None:
    """An import takes what the log can give back, or says what is wrong."""
    log = EventLog(MemoryStorage(), SETTINGS, now_ns=NOW_NS)
    importer = _Importer(log)
    taken = 0
    try:
        for event, _ in read_archive(io.BytesIO(raw)):
            importer.take(event)
            taken += 1
    finally:
        importer.finish()
        assert len(read_all(log, log.oldest)) == importer.found.events
        assert importer.found.events + importer.found.skipped == taken, "an event is lost on the way"


# -- Mutators --------------------------------------------------------------------------------------------------------


def change_segment(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """Change the header, one batch, or their order; or put a hole of zeros, as a disk does that lost a sector."""
    chance = rng.random()
    if chance < 0.15:
        return change_bytes(rng, raw[:START].rstrip(b"\0")).ljust(START, b"\0") + raw[START:]
    if chance < 0.3:
        at = rng.randrange(START, len(raw) + 1) if len(raw) > START else 0
        return raw[:at] + bytes(rng.choice((1, 512, 4096))) + raw[at + rng.choice((0, 512)) :]
    if chance < 0.4:
        return raw[:START] + change_bytes(rng, raw[START:])
    batches = cut_batches(raw[START:])
    if not batches:
        return change_bytes(rng, raw)
    if rng.random() < 0.4:
        batches = change_list(rng, batches, lambda: rng.choice(cut_batches(rng.choice(others)[START:]) or [b"x"]))
    else:
        at = rng.randrange(len(batches))
        batches[at] = change_batch(rng, batches[at])
    return raw[:START] + b"".join(batches)


def cut_batches(content: bytes) -> list[bytes]:
    found: list[bytes] = []
    position = 0
    while content[position : position + 4] == MAGIC and position + HEADER.size <= len(content):
        size = max(int.from_bytes(content[position + 4 : position + 8], "little"), HEADER.size)
        found.append(content[position : position + size])
        position += size
    return found


def change_folder(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """Change one file as its kind asks for, or which files there are."""
    folder = msgspec.msgpack.decode(raw, type=dict[str, bytes])
    name = rng.choice(list(folder))
    chance = rng.random()
    if chance < 0.1:
        del folder[name]
    elif chance < 0.15:
        folder[rng.choice((f"seg-{rng.choice(INTEGERS) % 10**20:020d}.log", "LOG", "cursors", name + ".new", "x"))] = (
            folder[name]
        )
    elif chance < 0.2:
        folder[name] = folder[name][: rng.randrange(len(folder[name]) + 1)]
    elif name.endswith(".log"):
        folder[name] = change_segment(rng, folder[name], [folder[name]])
    elif name == "LOG" or rng.random() < 0.3:
        folder[name] = change_bytes(rng, folder[name])
    else:
        # The checksum follows: so what stands behind it is reached.
        content = without_crc(folder[name]) or b""
        folder[name] = with_crc(change_tree(rng, content))
    return msgspec.msgpack.encode(folder)


def change_archive(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    if raw.startswith(ARCHIVE_MAGIC):
        batches = cut_batches(raw[len(ARCHIVE_MAGIC) :])
        if batches and rng.random() < 0.8:
            at = rng.randrange(len(batches))
            batches[at] = change_batch(rng, batches[at])
            return ARCHIVE_MAGIC + b"".join(batches)
        return change_bytes(rng, raw, others)
    lines = raw.splitlines()
    if not lines or rng.random() < 0.3:
        return change_bytes(rng, raw, others)
    at = rng.randrange(len(lines))
    try:
        changed = msgspec.msgpack.decode(change_tree(rng, msgspec.msgpack.encode(msgspec.json.decode(lines[at]))))
        lines[at] = msgspec.json.encode(changed)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        lines[at] = change_bytes(rng, lines[at])
    return b"\n".join(lines)


# -- Seeds -----------------------------------------------------------------------------------------------------------


def _folders() -> Mapping[str, Folder]:
    storage = MemoryStorage()
    found: dict[str, Folder] = {}
    log = open_log(storage, accept_loss=False)
    for number in range(0, 60, 3):
        append(log, number, 3, size=120)
        if number == 30:
            sync(log)
            log.cursors.put(Cursor("reader", "uid:0", log.epoch, 9, NOW_NS))
            log.cursors.save(log.cursors.content())
            log.cursors.save(log.cursors.content())
            found["killed"] = folder_of(storage)
    sync(log)
    log.finish(NOW_NS)
    found["stopped"] = folder_of(storage)
    found["restarted"] = folder_of(_restarted(storage))
    return found


def _restarted(storage: MemoryStorage) -> MemoryStorage:
    after = storage.after_kill()
    append(open_log(after, accept_loss=False), 40)
    return after


def _segments() -> Mapping[str, bytes]:
    return {
        f"{folder}-{int(name[4:24])}": content
        for folder, files in _folders().items() for name, content in files.items() if name.endswith(".log")
    }  # fmt: skip


def _archives() -> Mapping[str, bytes]:
    log = EventLog(MemoryStorage(), SETTINGS, now_ns=NOW_NS)
    log.append([new_batch(0, 3), new_batch(3, 2, tag="é/x")], NOW_NS)
    batches = [item for item in log.reader(0).read(100_000, log.end) if isinstance(item, Batch)]
    lines = [encode_json(item.envelope()) for one in batches for item in one.events() if isinstance(item, Event)]
    return {
        "lines": b"\n".join(lines) + b"\n", "batches": ARCHIVE_MAGIC + b"".join(one.raw for one in batches),
        "links": ARCHIVE_MAGIC + BATCHES["links"], "empty": b"",
    }  # fmt: skip


TARGETS: dict[str, Target] = {
    "segments": Target(run_segment, (LogNotUnderstood,), _segments, change_segment, 2),
    "logs": Target(
        run_log, (LogNotUnderstood,),
        lambda: {name: msgspec.msgpack.encode(files) for name, files in _folders().items()}, change_folder, 20,
    ),
    "archives": Target(run_archive, (InvalidInput, EventLogError), _archives, change_archive, 5),
}  # fmt: skip
