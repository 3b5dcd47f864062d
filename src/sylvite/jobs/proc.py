"""Proc: which jobs run on this minion, as files; and their processes, as the kernel shows them in /proc.

<cachedir>/proc/<jid>    a MessagePack map: what was published of the job, `pid`, and `begun`, the start of that process

Any process of the minion's user can read them, and signal a job, without asking the minion.  A number of a process is used
again by the system; with its start it is not.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from sylvite.errors import InvalidJid
from sylvite.jobs.jid import parse_jid

FOLDER = "proc"
RECORD_BYTES_MAX = 4 * 1024 * 1024
SHOWN = ("jid", "fun", "arg", "tgt", "tgt_type", "ret", "user", "metadata")
"""What is kept of a job's publication, where it has it."""
_STOP_ROUNDS = 20


class Running(NamedTuple):
    """A job that runs, or waits for its turn.  `shown`: as Salt shows it.  `pid`: None while it waits."""

    jid: str
    pid: int | None
    begun: int
    shown: dict[str, Any]


def proc_folder(opts: Mapping[str, Any]) -> Path | None:
    """Return where the files are on a node with these options; None where they do not say."""
    cache = opts.get("cachedir")
    return Path(str(cache)) / FOLDER if cache else None


# -- Files -----------------------------------------------------------------------------------------------------------


def keep_record(folder: Path, publication: Mapping[str, Any], pid: int | None) -> None:
    """Say that a job runs in a process, or waits (None).  Raises OSError."""
    jid = str(publication["jid"])
    parse_jid(jid)
    begun = begun_of(pid) if pid is not None else None
    about = {name: publication[name] for name in SHOWN if name in publication}
    new = folder / f".{jid}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.msgpack.encode({**about, "pid": pid, "begun": begun or 0}))
    new.rename(folder / jid)


def drop_record(folder: Path, jid: str) -> bool:
    """Forget a job; return whether it was there: of two that do so at once, one is told."""
    try:
        (folder / jid).unlink()
    except OSError:
        return False
    return True


def drop_all(folder: Path) -> None:
    """Forget all jobs: the minion starts, and none of them can run any more."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                os.unlink(entry.path)


def read_records(folder: Path) -> list[Running]:
    """Return the jobs that run or wait, the oldest first; a file that cannot be read is none."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    found = (_read(folder / name, name) for name in names)
    return [job for job in found if job is not None and (job.pid is None or begun_of(job.pid) == job.begun)]


def _read(path: Path, name: str) -> Running | None:
    try:
        parse_jid(name)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            record: object = msgspec.msgpack.decode(file.read(RECORD_BYTES_MAX))
    except (InvalidJid, OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    shown = cast("dict[str, Any]", record)
    pid, begun = shown.get("pid"), shown.pop("begun", None)
    if shown.get("jid") != name or not isinstance(begun, int) or not isinstance(pid, int | None):
        return None
    return Running(name, pid, begun, shown)


# -- Processes -------------------------------------------------------------------------------------------------------


class _Process(NamedTuple):
    state: str
    parent: int
    session: int
    begun: int


def begun_of(pid: int) -> int | None:
    """Return when a process was started, in ticks since the start of the machine; None where there is none, or it has ended."""
    found = _look(pid)
    return None if found is None or found.state == "Z" else found.begun


def _look(pid: int) -> _Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            content = file.read()
    except OSError:
        return None
    # The name of the program stands in parentheses, and may hold anything, parentheses too.
    words = content[content.rindex(b")") + 2 :].split()
    return _Process(words[0].decode(), int(words[1]), int(words[3]), int(words[19]))


def _tree(pid: int) -> dict[int, int]:
    """Return a process, all of its session, and all that those have started: their numbers, with their starts."""
    table = {number: found for number in map(int, filter(str.isdigit, os.listdir("/proc"))) if (found := _look(number))}
    tree = {number for number, found in table.items() if number == pid or found.session == pid}
    while more := {number for number, found in table.items() if number not in tree and found.parent in tree}:
        tree |= more
    return {number: table[number].begun for number in tree}


def signal_tree(pid: int, begun: int, number: int) -> bool:
    """Send a signal to a process and all that it has started, in whichever sessions; return whether there is such a process."""
    if begun_of(pid) != begun:
        return False
    tree = _stop_tree(pid) if number == signal.SIGKILL else _tree(pid)
    for member, since in tree.items():
        _signal(member, since, number)
    return True


def _stop_tree(pid: int) -> dict[int, int]:
    """Stop all of them first: what does not run starts nothing that would be missed."""
    stopped: dict[int, int] = {}
    for _ in range(_STOP_ROUNDS):
        tree = _tree(pid)
        if not tree.keys() - stopped.keys():
            break
        for member in tree.keys() - stopped.keys():
            _signal(member, tree[member], signal.SIGSTOP)
        stopped |= tree
    return stopped


def _signal(pid: int, begun: int, number: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return  # It has ended.
    try:
        # From here on the descriptor means this process, whoever gets its number.
        if begun_of(pid) == begun:
            signal.pidfd_send_signal(descriptor, number)
    except OSError:
        pass  # It has ended, or is somebody else's: a program that changes its user.
    finally:
        os.close(descriptor)
