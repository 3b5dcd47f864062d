"""Two networks of this machine that nothing but a cable connects, which can be cut: network namespaces, and a veth pair.

Where the user may not make them (neither as root nor in a namespace of users), the test is skipped, and says so.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

ADDRESSES = ("10.231.77.1", "10.231.77.2")
ENDS = ("left", "right")
WITHIN_S = 60.0


class Cable:
    """`sides`: what stands before a command that runs at this end, or at the other one."""

    def __init__(self, sides: tuple[list[str], list[str]]) -> None:
        self.sides = sides

    def cut(self) -> None:
        _run([*self.sides[0], "ip", "link", "set", ENDS[0], "down"])

    def mend(self) -> None:
        _run([*self.sides[0], "ip", "link", "set", ENDS[0], "up"])

    def reaches(self, port: int) -> bool:
        """Say whether the second end can connect to a port of the first one within a second."""
        program = f"import socket; socket.create_connection(({ADDRESSES[0]!r}, {port}), 1).close()"
        return _try([*self.sides[1], sys.executable, "-c", program]).returncode == 0


def _try(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=WITHIN_S)


def _run(command: Sequence[str]) -> None:
    done = _try(command)
    if done.returncode:
        pytest.skip(f"network namespaces are not allowed here: {' '.join(command)}: {done.stderr.strip()}")


def _unshare() -> list[str]:
    """Return how to get a network of one's own: as root, else as the root of a namespace of users."""
    for command in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        try:
            if _try([*command, "ip", "link", "set", "lo", "up"]).returncode == 0:
                return command
        except FileNotFoundError as error:
            pytest.skip(f"there is no program for network namespaces here: {error.filename}")
    pytest.skip("network namespaces are not allowed here, neither by `unshare --net` nor with --map-root-user")


@contextmanager
def _network(command: Sequence[str]) -> Generator[int]:
    """A process that holds a network, and ends when its input does: also where the test is killed."""
    holder = subprocess.Popen(
        [*command, "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )  # fmt: skip
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        holder.stdout.readline()
        yield holder.pid
    finally:
        holder.stdin.close()
        holder.wait(WITHIN_S)
        holder.stdout.close()


@contextmanager
def cable() -> Generator[Cable]:
    """A cable between two networks, each with an address of ADDRESSES."""
    command = _unshare()
    users = ["--user", "--preserve-credentials"] if "--map-root-user" in command else []
    with ExitStack() as stack:
        first = stack.enter_context(_network(command))
        into_first = ["nsenter", "--target", str(first), *users, "--net"]
        second = stack.enter_context(_network([*into_first, "unshare", "--net"]))
        into_second = ["nsenter", "--target", str(second), *users, "--net"]
        _run(
            [*into_first, "ip", "link", "add", ENDS[0], "type", "veth", "peer", "name", ENDS[1], "netns", str(second)]
        )  # fmt: skip
        for into, end, address in zip((into_first, into_second), ENDS, ADDRESSES, strict=True):
            _run([*into, "ip", "address", "add", f"{address}/24", "dev", end])
            _run([*into, "ip", "link", "set", end, "up"])
            _run([*into, "ip", "link", "set", "lo", "up"])
        yield Cable((into_first, into_second))
