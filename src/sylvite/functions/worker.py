"""Worker: what a process does that was forked for one job.

It reads the job from its stream, runs it, and writes back what comes of it, as far as that fits into an event.  What functions print goes
nowhere; what they log goes to the minion's log, so many lines of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from sylvite.core.event import CONTAINERS_MAX, ENCODE_ERRORS, is_costly, unpack_data
from sylvite.errors import InvalidData
from sylvite.functions.data import plain
from sylvite.functions.execute import OUT_OF_FAILURES, Outcome, Progress, run_job
from sylvite.functions.library import Library
from sylvite.jobs import worker_messages as say
from sylvite.jobs.proc import drop_record, keep_record, proc_folder
from sylvite.jobs.worker_messages import MARGIN_BYTES, Begin
from sylvite.wire.frame import FrameDecoder

TRIMMED = "VALUE_TRIMMED"
"""The word that Salt puts in the place of what does not fit into an event."""
SHOWN_CHARACTERS_MAX = 10_000
JOB_BYTES_MAX = 2**31
"""It comes from the minion, which has it from its bus."""
OF_A_JOB: dict[str, Any] = {"resource_targets": [], "pure_resource_target": False, "minion_is_target": True}
"""What Salt's minions add to a publication (spec/salt-events.md 4.1)."""
_encode = msgspec.msgpack.Encoder().encode


def work(library: Library, begin: Begin, stream: socket.socket) -> None:
    """Do the job that the stream brings, and send what comes of it."""
    _prepare()
    publication = _read_job(stream)
    minion = _Minion(stream)
    _log_to(minion, str(publication["jid"]))
    folder = proc_folder(begin.opts)
    _keep(folder, publication)
    cast("dict[str, Any]", library.context.publication).update(publication, **OF_A_JOB)
    bytes_max = max(begin.event_bytes_max - MARGIN_BYTES, begin.event_bytes_max // 2)
    returned = run_publication(library, publication, bytes_max, minion)
    if not minion.is_ours():
        return  # The function has forked, and this is the other process.
    # Before the return is seen: who has that does not find the job running any more.
    if folder is not None:
        drop_record(folder, str(publication["jid"]))
    minion.tell(returned)


class _Minion:
    """Who waits at the other end of the stream.  Threads of the function may log at any moment."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream, self._pid = stream, os.getpid()
        self._lock = threading.Lock()

    def is_ours(self) -> bool:
        """Say whether this is the process that was forked for the job; what it forks itself has nothing to say."""
        return os.getpid() == self._pid

    def tell(self, message: say.FromWorker) -> None:
        """Raises OSError: it is gone, or the function has closed the stream."""
        if self.is_ours():
            with self._lock:
                self._stream.sendall(say.frame(message))


def _prepare() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _read_job(stream: socket.socket) -> dict[str, Any]:
    decoder = FrameDecoder(JOB_BYTES_MAX)
    while data := stream.recv(64 * 1024):
        decoder.feed(data)
        for _, body in decoder.frames():
            publication = unpack_data(body)
            publication.pop("_stamp", None)  # Of the event that has brought it, and not of the job.
            return publication
    raise ConnectionError("the minion is gone")


def _keep(folder: Path | None, publication: dict[str, Any]) -> None:
    if folder is None:
        return
    try:
        keep_record(folder, publication, os.getpid())
    except OSError as error:
        logging.getLogger("sylvite.jobs").error("the job cannot be shown as running: %s", error)


# -- Running ---------------------------------------------------------------------------------------------------------


def run_publication(library: Library, publication: dict[str, Any], bytes_max: int, minion: _Minion) -> say.Returned:
    """Run the function of a job, or all of them where it has several, and return what is to be sent of it."""

    def tell(number: int, item: Any) -> None:
        packed = _fitting(item, bytes_max)
        minion.tell(say.Progress(number, msgspec.Raw(packed)))

    fun, arg = publication["fun"], publication["arg"]
    if isinstance(fun, str):
        outcome = _run(library, fun, arg, tell)
        return _returned([outcome], outcome.value, outcome.retcode, outcome.success, outcome.out, arg, bytes_max)
    outcomes = {name: _run(library, name, own, tell) for name, own in zip(fun, arg, strict=True)}
    return _returned(
        list(outcomes.values()),
        {name: outcome.value for name, outcome in outcomes.items()},
        {name: outcome.retcode for name, outcome in outcomes.items()},
        {name: outcome.success for name, outcome in outcomes.items()},
        None, arg, bytes_max,
    )  # fmt: skip


def _run(library: Library, name: str, arg: Sequence[Any], progress: Progress) -> Outcome:
    try:
        return run_job(library, name, arg, progress=progress)
    except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt, for one: whatever it is, the job has a return
        said = f"Error running '{name}': {type(error).__name__}: {error}"
        return Outcome(said, 1, success=False, out=OUT_OF_FAILURES, raised=said)


def _returned(
    outcomes: Sequence[Outcome], value: Any, retcode: Any, success: Any, out: str | None, arg: Any, bytes_max: int
) -> say.Returned:
    try:
        arguments = _pack(arg)
    except (InvalidData, *ENCODE_ERRORS):
        arguments = b""
    sent = bool(arguments) and len(arguments) <= bytes_max // 2 and not is_costly(arguments)
    packed = _fitting(value, bytes_max - (len(arguments) if sent else 0))
    errors = [outcome.raised[:SHOWN_CHARACTERS_MAX] for outcome in outcomes if outcome.raised is not None]
    return say.Returned(
        msgspec.Raw(packed), retcode, success, msgspec.Raw(arguments) if sent else say.NOTHING, out, errors
    )  # fmt: skip


def _pack(value: Any) -> bytes:
    return _encode(plain(value))


def _fitting(value: Any, bytes_max: int) -> bytes:
    """Return a value packed; in the place of what fits into no event, words that say so."""
    try:
        packed = _pack(value)
    except (InvalidData, *ENCODE_ERRORS, MemoryError):
        # That it cannot travel must not undo what the function did.
        packed = _encode(_as_text(value))
    if len(packed) > bytes_max:
        return _encode(f"{TRIMMED}: {len(packed)} bytes; at most {bytes_max} fit into an event")
    if is_costly(packed):
        return _encode(f"{TRIMMED}: more than {CONTAINERS_MAX} maps and lists; at most so many fit into an event")
    return packed


def _as_text(value: Any) -> str:
    try:
        shown = repr(value)
    except Exception as error:  # noqa: BLE001 - it is the function's own value, whose repr may do anything
        shown = f"<{type(value).__name__}, which cannot be shown: {type(error).__name__}>"
    return shown[:SHOWN_CHARACTERS_MAX].encode("utf-8", "backslashreplace").decode()


# -- Logging ---------------------------------------------------------------------------------------------------------


def _log_to(minion: _Minion, jid: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_Notes(minion, jid)]
    root.setLevel(logging.INFO)


class _Notes(logging.Handler):
    """Sends lines to the minion, and after so many of them none."""

    def __init__(self, minion: _Minion, jid: str) -> None:
        super().__init__()
        self._minion, self._jid, self._left = minion, jid, say.NOTES_MAX

    def emit(self, record: logging.LogRecord) -> None:
        if self._left < 0:
            return
        text = self.format(record)[: say.NOTE_CHARACTERS_MAX] if self._left else "there is more, which is not shown"
        self._left -= 1
        safe = text.encode("utf-8", "backslashreplace").decode()
        # A function that has closed all descriptors logs to nobody.
        with contextlib.suppress(OSError):
            self._minion.tell(say.Note(record.levelno, record.name, f"job {self._jid}: {safe}"))
