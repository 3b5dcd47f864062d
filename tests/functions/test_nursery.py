"""The nursery, as a process, and the minion's end of it: workers, their ends, and what becomes of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from sylvite.core.event import pack_data
from sylvite.errors import InvalidData, RemoteProtocolError
from sylvite.jobs import nursery_end, workers
from sylvite.jobs import worker_messages as say
from sylvite.jobs.nursery_end import Nursery, Worker
from sylvite.jobs.workers import Workers

WITHIN_S = 60.0
EVENT_BYTES_MAX = 100_000

MODULE = '''
import os, socket, struct, time

def pid(): return os.getpid()

def hang(): time.sleep(600)

def opts(): return __opts__["custom"]

def stream():
    for name in os.listdir("/proc/self/fd"):
        if os.path.islink(f"/proc/self/fd/{name}") and os.readlink(f"/proc/self/fd/{name}").startswith("socket"):
            return int(name)

def lies(size):
    """Say that a message of so many bytes follows."""
    os.write(stream(), struct.pack("<I", size) + bytes(100))
    time.sleep(600)

def babbles():
    os.write(stream(), struct.pack("<IB", 5, 1) + b"abcd")
    time.sleep(600)

def quiet(size): return "x" * size
'''


@pytest.fixture
def begin(tmp_path: Path) -> bytes:
    modules = tmp_path / "modules"
    modules.mkdir(mode=0o755)
    (modules / "mine.py").write_text(MODULE)
    (modules / "mine.py").chmod(0o644)
    opts: dict[str, Any] = {"id": "alpha", "module_dirs": [str(modules)], "file_roots": {}, "custom": "first"}
    return say.encode(say.Begin(opts, {"id": "alpha"}, str(tmp_path / "no-bus"), EVENT_BYTES_MAX))


class Heard:
    """What came of one job."""

    def __init__(self) -> None:
        self.messages: list[say.FromWorker] = []

    async def take(self, message: say.FromWorker) -> bool:
        self.messages.append(message)
        return not isinstance(message, say.Returned)

    @property
    def value(self) -> Any:
        (returned,) = [message for message in self.messages if isinstance(message, say.Returned)]
        return say.msgspec.msgpack.decode(returned.value)


def job(fun: str, *arg: Any) -> bytes:
    return pack_data({"jid": "20261123224730000001", "fun": fun, "arg": list(arg), "tgt": "*"})


async def follow(worker: Worker, fun: str, *arg: Any) -> Heard:
    heard = Heard()
    try:
        async with asyncio.timeout(WITHIN_S):
            await worker.follow(job(fun, *arg), heard.take)
            assert await worker.gone(WITHIN_S)
    finally:
        worker.close()
    return heard


def with_nursery(begin: bytes, work: Callable[[Nursery], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        nursery = await Nursery.start(begin, EVENT_BYTES_MAX)
        try:
            async with asyncio.timeout(WITHIN_S):
                assert await nursery.ready is True
            await work(nursery)
        finally:
            await nursery.close()

    asyncio.run(run())


def test_each_job_has_a_process_of_its_own_that_ends_with_it(begin: bytes) -> None:
    async def work(nursery: Nursery) -> None:
        jobs = [follow(await nursery.run(), "mine.pid") for _ in range(20)]
        pids = {heard.value for heard in await asyncio.gather(*jobs)}
        assert len(pids) == 20
        assert not pids & {nursery.pid, os.getpid()}
        assert nursery.workers == {}
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    with_nursery(begin, work)


def test_how_a_worker_ended_is_told(begin: bytes) -> None:
    async def work(nursery: Nursery) -> None:
        worker = await nursery.run()
        following = asyncio.create_task(follow(worker, "mine.hang"))
        await worker.signal(signal.SIGTERM)
        await following
        assert worker.ended == say.Ended(worker.number, signal.SIGTERM)
        # It is gone, and a signal to it is one to nobody.
        await worker.signal(signal.SIGKILL)
        assert (await follow(await nursery.run(), "mine.quiet", 3)).value == "xxx"

    with_nursery(begin, work)


@pytest.mark.parametrize(("fun", "arg"), [("mine.lies", [2**31]), ("mine.babbles", [])])
def test_a_worker_that_writes_what_is_no_message_is_found_out_at_once(begin: bytes, fun: str, arg: list[Any]) -> None:
    """On the announcement alone: nothing of 2 GiB is waited for, or kept."""

    async def work(nursery: Nursery) -> None:
        worker = await nursery.run()
        with pytest.raises((RemoteProtocolError, InvalidData)):
            await follow(worker, fun, *arg)
        await worker.kill()
        assert await worker.gone(WITHIN_S)

    with_nursery(begin, work)


def test_a_job_is_as_big_as_an_event_may_be(begin: bytes) -> None:
    """More than a socket holds at a time, down and up."""

    async def work(nursery: Nursery) -> None:
        heard = await follow(await nursery.run(), "test.echo", "y" * 900_000)
        assert heard.value.startswith("VALUE_TRIMMED: 900005 bytes; at most ")
        size = EVENT_BYTES_MAX - say.MARGIN_BYTES - 100
        value = (await follow(await nursery.run(), "mine.quiet", size)).value
        assert (len(value), set(value)) == (size, {"x"})

    with_nursery(begin, work)


def test_a_nursery_ends_when_nobody_is_at_the_other_end_and_its_workers_with_it(begin: bytes) -> None:
    async def work(nursery: Nursery) -> None:
        worker = await nursery.run()
        following = asyncio.create_task(follow(worker, "mine.hang"))
        await asyncio.sleep(0)
        await nursery.close()
        await following
        assert worker.ended == say.Ended(worker.number, None)
        with pytest.raises(BrokenPipeError):
            await nursery.run()

    with_nursery(begin, work)


# -- Where the system or the nursery fails -----------------------------------------------------------------------

NO_FORK = """
import errno, os, sys
from sylvite.functions import nursery

def fork(): raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

nursery.os.fork = fork
sys.exit(nursery.main())
"""


@pytest.fixture
def nursery_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let another program stand in the place of the nursery."""

    def put(content: str) -> None:
        (tmp_path / "other_nursery.py").write_text(content)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(nursery_end, "MODULE", "other_nursery")

    return put


def test_a_system_without_processes_left_is_told(begin: bytes, nursery_program: Callable[[str], None]) -> None:
    nursery_program(NO_FORK)

    async def work(nursery: Nursery) -> None:
        worker = await nursery.run()
        await follow(worker, "mine.pid")
        assert worker.refused == "no process can be started: Resource temporarily unavailable"

    with_nursery(begin, work)


def test_a_nursery_that_does_not_come_up_is_tried_again_and_jobs_do_not_wait_for_ever(
    begin: bytes, nursery_program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nursery_program(f"open({str(tmp_path / 'tries')!r}, 'a').write('x'); raise SystemExit(3)")
    monkeypatch.setattr(workers, "PAUSE_S", (0.01, 0.01))
    monkeypatch.setattr(workers, "WAIT_S", 0.5)

    async def run() -> None:
        found = Workers(lambda: begin, EVENT_BYTES_MAX)
        found.start()
        try:
            async with asyncio.timeout(WITHIN_S):
                while not (tmp_path / "tries").exists() or len((tmp_path / "tries").read_text()) < 2:
                    with pytest.raises(OSError, match="does not come up"):
                        await found.run()
            # A nursery that does come up is what jobs get from then on.
            monkeypatch.setattr(nursery_end, "MODULE", "sylvite.functions.nursery")
            monkeypatch.setattr(workers, "WAIT_S", WITHIN_S)
            assert (await follow(await found.run(), "mine.opts")).value == "first"
        finally:
            await found.stop()

    asyncio.run(run())


def test_a_nursery_that_hangs_before_it_is_ready_is_ended(
    begin: bytes,
    nursery_program: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    nursery_program("import time; time.sleep(600)")
    monkeypatch.setattr(workers, "READY_S", 0.2)
    monkeypatch.setattr(workers, "PAUSE_S", (0.01, 0.01))
    monkeypatch.setattr(nursery_end, "STOP_S", 0.1)

    async def run() -> None:
        found = Workers(lambda: begin, EVENT_BYTES_MAX)
        found.start()
        try:
            waiting = asyncio.create_task(found.run())
            while "is not ready within 0.2 s" not in caplog.text:
                await asyncio.sleep(0.01)
            monkeypatch.setattr(nursery_end, "MODULE", "sylvite.functions.nursery")
            monkeypatch.setattr(workers, "READY_S", WITHIN_S)
            assert (await follow(await waiting, "mine.opts")).value == "first"
        finally:
            await found.stop()

    asyncio.run(run())


def test_who_waits_for_a_nursery_hears_that_there_will_be_none(
    begin: bytes, nursery_program: Callable[[str], None]
) -> None:
    nursery_program("import time; time.sleep(600)")

    async def run() -> None:
        found = Workers(lambda: begin, EVENT_BYTES_MAX)
        found.start()
        try:
            waiting = asyncio.create_task(found.run())
            await asyncio.sleep(0)
            await found.refuse("the minion was stopped")
            with pytest.raises(OSError, match="the minion was stopped"):
                await waiting
            with pytest.raises(OSError, match="the minion was stopped"):
                await found.run()
        finally:
            await found.stop()

    asyncio.run(run())


def test_a_new_nursery_knows_what_is_new_and_the_old_one_ends_with_its_last_job(begin: bytes) -> None:
    async def run() -> None:
        told = begin
        found = Workers(lambda: told, EVENT_BYTES_MAX)
        found.start()
        try:
            async with asyncio.timeout(WITHIN_S):
                worker = await found.run()
                following = asyncio.create_task(follow(worker, "mine.hang"))
                former = found.nursery
                assert former is not None
                told = begin.replace(b"first", b"other")
                assert await found.renew() is True
                assert (await follow(await found.run(), "mine.opts")).value == "other"
                assert not former.gone.is_set()
                await worker.kill()
                await following
                await former.gone.wait()
                assert found.nursery is not None
                assert found.nursery.pid != former.pid
        finally:
            await found.stop()

    asyncio.run(run())


def test_one_that_has_died_and_was_not_heard_of_yet_holds_nobody_up(begin: bytes) -> None:
    """Whoever asks for a worker at once is to let the loop hear of the death: it would try for ever."""

    async def run() -> None:
        found = Workers(lambda: begin, EVENT_BYTES_MAX)
        found.start()
        try:
            first = await found.run()
            assert (await follow(first, "mine.opts")).value == "first"
            nursery = found.nursery
            assert nursery is not None
            os.kill(nursery.pid, signal.SIGKILL)
            # Without a turn of the loop in between, so that only sending can find out.
            while _runs(nursery.pid):
                pass
            signal.signal(signal.SIGALRM, _too_long)
            signal.setitimer(signal.ITIMER_REAL, WITHIN_S)
            try:
                assert (await follow(await found.run(), "mine.opts")).value == "first"
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
        finally:
            await found.stop()

    asyncio.run(run())


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError("the loop does not turn any more")


def test_a_new_nursery_that_does_not_come_up_leaves_the_old_one(
    begin: bytes, nursery_program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        found = Workers(lambda: begin, EVENT_BYTES_MAX)
        found.start()
        try:
            assert (await follow(await found.run(), "mine.opts")).value == "first"
            nursery_program("raise SystemExit(3)")
            assert await found.renew() is False
            assert (await follow(await found.run(), "mine.opts")).value == "first"
        finally:
            await found.stop()

    asyncio.run(run())
