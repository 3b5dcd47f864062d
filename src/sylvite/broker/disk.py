"""DiskThreads: the helper threads that wait for the disk, and think, so that the loop does not."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

from sylvite.broker.broker import Job

THREADS = 4
"""A sync, the saving of cursors, the scrub and a thought, at the same time: a broker never has more to do."""

Finished = Callable[[Job, Exception | None], None]


class DiskThreads:
    """Runs jobs; `finished` is called in the loop's thread with each, and with what it raised.

    Without futures: two of them for each sync, with their locks and callbacks, take as long as a small sync itself.
    """

    def __init__(self, loop: AbstractEventLoop, finished: Finished) -> None:
        self._loop, self._finished = loop, finished
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        # They hold nobody up who ends without `stop`: a start that failed, say.
        self._threads = [Thread(target=self._work, name=f"disk-{number}", daemon=True) for number in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def run(self, job: Job) -> None:
        self._jobs.put(job)

    def stop(self) -> None:
        """Wait until all jobs are done.  The loop hears of the last ones when it runs again."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            error: Exception | None = None
            try:
                job.run()
            except Exception as raised:  # noqa: BLE001 - whatever it is, it is handed on
                error = raised
            with suppress(RuntimeError):  # The loop has ended without `stop`: nobody asks any more.
                self._loop.call_soon_threadsafe(self._finished, job, error)
