"""What `make run` does: a bus in a temporary folder, one event, and then whatever you publish, live, until Ctrl-C."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from sylvite import Client, SylviteError, __version__
from sylvite.testing.broker import BrokerProcess, broker

PROGRAM = Path(sys.executable).with_name("sylvite")


def main() -> int:
    """Return the exit code: 0 when told to stop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        with broker() as bus:
            return show(bus)
    except KeyboardInterrupt:
        print("\nstopped; the temporary folder is gone", flush=True)
        return 0
    except BrokenPipeError:
        # Nobody reads any more; the interpreter must not try once again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (SylviteError, OSError) as error:
        print("make run:", " ".join(str(error).split()), file=sys.stderr)
        return 1


def stop(number: int = 0, frame: FrameType | None = None) -> NoReturn:
    """Leave, once: a second Ctrl-C must not disturb the cleaning up."""
    del number, frame
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def show(bus: BrokerProcess) -> int:
    """Publish one event, and show all there are and will be."""
    environment = {**os.environ, "SYLVITE_SOCKET": str(bus.socket)}
    explain(bus)
    tail = subprocess.Popen([PROGRAM, "tail", "--follow", "--from", "oldest"], env=environment)
    try:
        with Client.connect(bus.socket) as client:
            client.publish("myco/hello", {"from": "make run", "answer": 42})
        assert bus.process is not None
        ended = first_to_end(tail, bus.process)
    finally:
        if tail.poll() is None:
            tail.terminate()
        tail.wait()
    if ended is bus.process:
        print(f"make run: the broker has ended (exit code {ended.returncode})", file=sys.stderr)
        return 1
    if tail.returncode == 0:
        stop()  # It has seen Ctrl-C before us.
    return 0 if tail.returncode == 141 else 1


def explain(bus: BrokerProcess) -> None:
    """Say how to publish and to listen from elsewhere."""
    print(f"Sylvite {__version__}: a bus with its log in {bus.folder}, until Ctrl-C. From a second terminal:\n")
    print(f"    export SYLVITE_SOCKET={shlex.quote(str(bus.socket))}")
    print(f"    {shlex.quote(str(PROGRAM))} publish myco/deploy/done version=1.4.2 ok=True")
    print(f"    {shlex.quote(str(PROGRAM))} tail --follow\n")
    print("Events:\n", flush=True)


def first_to_end(*processes: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Wait until one of them has ended, and return it."""
    watched = {os.pidfd_open(process.pid): process for process in processes}
    try:
        readable, _, _ = select.select(list(watched), [], [])
        ended = watched[readable[0]]
        ended.wait()
        return ended
    finally:
        for descriptor in watched:
            os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
