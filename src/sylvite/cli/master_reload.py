"""Letting the master of this machine read its configuration again, as `systemctl reload` does."""

from __future__ import annotations

import os
import signal
import socket
import struct
from contextlib import suppress
from pathlib import Path

CONNECT_S = 2.0
_CREDENTIALS = struct.Struct("3i")
"""Process, user and group of the other end (SO_PEERCRED, unix(7))."""


def reload_master(bus: Path, main: Path) -> bool:
    """Send SIGHUP to the master whose broker listens here; return whether there is one.  `main`: its main file.

    The broker is a part of that master, which is its parent, and was told the file on its command line.
    """
    with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(CONNECT_S)
        probe.connect(str(bus))
        told = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        broker: int = _CREDENTIALS.unpack(told)[0]
        parent = int(Path(f"/proc/{broker}/stat").read_text().rpartition(")")[2].split()[1])
        if parent > 1 and _main_of(broker) == main.resolve() and "master" in _words(parent):
            os.kill(parent, signal.SIGHUP)
            return True
    return False


def _main_of(part: int) -> Path | None:
    """Return the main file of the master that a process is a part of; None: it is none."""
    words = _words(part)
    if "--master" not in words[:-1]:
        return None
    return Path(os.readlink(f"/proc/{part}/cwd"), words[words.index("--master") + 1]).resolve()


def _words(process: int) -> list[str]:
    return Path(f"/proc/{process}/cmdline").read_text().split("\0")
