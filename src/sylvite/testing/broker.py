"""A real broker, as a process of its own, in a folder of yours."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from types import TracebackType

import msgspec

from sylvite.broker.settings import BrokerSettings
from sylvite.errors import SylviteError

READY_WITHIN_S = 20.0
STOPPED_WITHIN_S = 20.0


class BrokerProcess:
    """`sylvite broker --dir FOLDER`, under your control: a context manager that starts and stops it.

    `socket`: for `Client.connect`.  `arguments`: more options for the command line.  `command`: what stands before
    the program, such as a tracer.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: BrokerSettings | None = None,
        arguments: tuple[str, ...] = (),
        command: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.socket = folder / "bus.sock"
        self.process: subprocess.Popen[bytes] | None = None
        self.log_file = folder / "broker.log"
        self._settings = settings
        self._arguments = arguments
        self._command = command
        self._environment = environment or {}

    def __enter__(self) -> BrokerProcess:
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.process is not None and self.process.poll() is None:
                self.stop()
        finally:
            self._end()

    def _end(self) -> None:
        """Whatever happened: no process stays behind, nor one that only `command` knows."""
        if self.process is not None and (self.process.poll() is None or self._command):
            self.kill()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start the broker and return once clients can connect.

        Raises:
            SylviteError: it ended instead; the message is what it printed.
        """
        self.spawn()
        self.wait_ready()

    def spawn(self) -> None:
        """Start it without waiting for it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [*self._command, sys.executable, "-m", "sylvite", "broker", "--dir", str(self.folder)]
        if self._settings is not None:
            config = self.folder / "broker.yaml"
            config.write_bytes(msgspec.json.encode(self._settings))  # JSON is YAML
            command += ["--config", str(config)]
        self._ready, ready = os.pipe()
        command += ["--ready-fd", str(ready), *self._arguments]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[ready],
                env={**os.environ, **self._environment},
                process_group=0,
            )  # fmt: skip
        os.close(ready)

    def wait_ready(self) -> None:
        """Raises SylviteError: as `start`."""
        assert self.process is not None
        try:
            readable, _, _ = select.select([self._ready], [], [], READY_WITHIN_S)
            if not readable or not os.read(self._ready, 16):
                self.kill()
                code = self.process.returncode
                raise SylviteError(f"the broker did not start (exit code {code}):\n{self.output()}")
        finally:
            os.close(self._ready)

    def output(self) -> str:
        """What it has printed so far, over all starts."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def stop(self) -> int:
        """Ask it to stop, also where it is paused; return its exit code.

        Raises:
            SylviteError: it did not stop in time, and was killed; the message is what it printed.
        """
        assert self.process is not None
        self.process.terminate()
        self.resume()
        try:
            return self.process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise SylviteError(f"the broker did not stop within {STOPPED_WITHIN_S:g} s:\n{self.output()}") from None

    def kill(self) -> None:
        """End it as a crash would (SIGKILL), with what stands before it."""
        assert self.process is not None
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # It has ended by itself.
        self.process.wait()

    def pause(self) -> None:
        """Stop it in the middle of whatever it does (SIGSTOP), until `resume`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        # The signal takes effect a little later: once `waitid` has seen it, the broker does nothing any more.
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def resume(self) -> None:
        """Let it go on.  One that is not paused does not notice."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def broker(*, settings: BrokerSettings | None = None) -> Generator[BrokerProcess]:
    """A broker in a temporary folder, gone with all it wrote at the end.

        with broker() as bus, Client.connect(bus.socket) as client:
            client.publish("myco/hello", {})

    Raises SylviteError where it does not start.
    """
    with (
        tempfile.TemporaryDirectory(prefix="sylvite-") as folder,
        BrokerProcess(Path(folder), settings=settings) as process,
    ):
        yield process
