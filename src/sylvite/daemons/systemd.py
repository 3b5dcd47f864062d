"""What systemd wants to hear: one datagram to the socket that it names (sd_notify(3))."""

from __future__ import annotations

import os
import socket

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Meant for the process that systemd has started, not for those that it starts."""


def notify(state: str) -> None:
    """Tell systemd, if it started us and can be told; such as `READY=1`."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.connect(address)
            sender.sendall(state.encode())
        except OSError:
            pass  # It is being started anew itself, say; what it misses it finds out by its own time-outs.


def watchdog_s() -> float | None:
    """Return after which silence systemd takes this process for hung; None where it does not watch (sd_watchdog_enabled(3))."""
    text, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not text.isascii() or not text.isdigit() or int(text) == 0 or (process and process != str(os.getpid())):
        return None
    return int(text) / 1_000_000
