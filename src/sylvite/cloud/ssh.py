"""SSH: the program `ssh`, in a process of its own, with every choice of it made here.

No configuration of the user's is read, no agent is asked, nothing is forwarded, and who answers is always verified.
What is secret travels on standard input, never in an argument.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from sylvite.cloud.errors import DeployFailed, MachineTimeout
from sylvite.cloud.waiting import Clock
from sylvite.errors import InvalidSetting

TAIL_BYTES = 16 * 1024
"""What is kept of the output: the end of it, where errors stand."""
CONNECT_S = 15
PROBE_S = 30.0
CONNECTION_FAILED = 255
"""As ssh(1) ends where it is ssh itself that failed."""
_fatal = re.compile("host key verification failed|identification has changed|no .* host key is known", re.IGNORECASE)
_public_key = re.compile(r"((?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]+ [A-Za-z0-9+/]{32,}={0,2})(?: .*)?", re.ASCII).fullmatch


class SshTarget(msgspec.Struct, frozen=True):
    """`host_key`: `known`, `accept-new`, or public keys.  `known_hosts`: the file for it.  `alias`: the name there.

    An alias, since an address is given to another machine when this one is gone.
    """

    host: str
    port: int
    username: str
    key_file: str
    host_key: str | tuple[str, ...]
    known_hosts: str
    alias: str | None

    def arguments(self, command: str) -> list[str]:
        """Return the command line.  Raises DeployFailed: there is no ssh."""
        ssh = shutil.which("ssh")
        if ssh is None:
            raise DeployFailed("the program ssh is not installed, and deploying needs it (Debian: openssh-client)")
        options = {
            "BatchMode": "yes",
            "IdentityFile": f'"{_literal(self.key_file)}"',
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "PreferredAuthentications": "publickey",
            "StrictHostKeyChecking": "accept-new" if self.host_key == "accept-new" else "yes",
            "UserKnownHostsFile": f'"{_literal(self.known_hosts)}"',
            "UpdateHostKeys": "no",
            "CheckHostIP": "no",
            "ConnectTimeout": str(CONNECT_S),
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "4",
            "ForwardAgent": "no",
            "ClearAllForwardings": "yes",
            "LogLevel": "ERROR",
        }
        if self.host_key != "known":
            options["GlobalKnownHostsFile"] = "/dev/null"
        if self.alias is not None:
            options["HostKeyAlias"] = self.alias
        chosen = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        where = ["-p", str(self.port), "-l", self.username, "--", self.host]
        return [ssh, "-F", "none", "-T", *chosen, *where, command]


def _literal(path: str) -> str:
    """Return a path as ssh takes it: `%` begins something there."""
    return path.replace("%", "%%")


class Ended(msgspec.Struct, frozen=True):
    """How a command ended.  `output`: the end of what it wrote."""

    code: int
    output: str

    @property
    def last_line(self) -> str:
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def public_keys(host_key: str | tuple[str, ...], setting: str) -> list[str]:
    """Return the public keys, as type and key.  Raises InvalidSetting: one is none."""
    found: list[str] = []
    for one in (host_key,) if isinstance(host_key, str) else host_key:
        match = _public_key(one.strip())
        if match is None:
            raise InvalidSetting(
                setting, one, "is no public key; write accept-new, known, or a key such as 'ssh-ed25519 AAAA...'"
            )
        found.append(match[1])
    return found


def write_known_hosts(path: Path, alias: str, keys: list[str]) -> None:
    """Write a file for `SshTarget.known_hosts`, ours alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.writelines(f"{alias} {key}\n" for key in keys)


def wait_for_ssh(target: SshTarget, clock: Clock, *, timeout_s: float, interval_s: float = 3.0) -> None:
    """Return when a command can be run there.

    A machine that has just started has no SSH yet, then one that lets nobody in yet: both are waited for. A host key
    that is not the right one is not.

    Raises:
        DeployFailed: the host key.
        MachineTimeout: not in time; it says how far it got.
    """
    deadline = clock.monotonic() + timeout_s
    while True:
        reached = answers_ssh(target.host, target.port)
        if reached is None:
            ended = run(target, "true", b"", timeout_s=PROBE_S)
            if ended.code == 0:
                return
            reached = ended.last_line or f"ssh ended with {ended.code}"
            if _fatal.search(ended.output):
                raise DeployFailed(f"{target.host}: the host key is not the one that was expected: {reached}")
        if clock.monotonic() >= deadline:
            raise MachineTimeout(f"{target.host}: no command could be run over SSH within {timeout_s:g} s: {reached}")
        clock.sleep(interval_s)


def answers_ssh(host: str, port: int) -> str | None:
    """Return None where SSH answers, else what is there instead."""
    try:
        with socket.create_connection((host, port), timeout=CONNECT_S) as connection:
            connection.settimeout(CONNECT_S)
            greeting = connection.recv(64)
    except OSError as error:
        return f"port {port}: {error.strerror or error}"
    return None if greeting.startswith(b"SSH-") else f"port {port} answers, but not as SSH does"


def run(
    target: SshTarget,
    command: str,
    content: bytes,
    *,
    timeout_s: float,
    on_output: Callable[[bytes], None] | None = None,
) -> Ended:
    """Run a command there, `content` on its standard input, and return how it ended.

    `on_output`: gets all of its output, as it comes.

    Raises:
        MachineTimeout: it had not ended; the connection is cut, the command may go on.
    """
    tail = bytearray()
    with _memory_file(content) as descriptor:
        process = subprocess.Popen(
            target.arguments(command), stdin=descriptor, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            process_group=0, env=_environment(),
        )  # fmt: skip
    assert process.stdout is not None
    try:
        for piece in _pieces(process.stdout.fileno(), time.monotonic() + timeout_s):
            tail += piece
            del tail[:-TAIL_BYTES]
            if on_output is not None:
                on_output(piece)
        code = process.wait(timeout=5.0)
    except (TimeoutError, subprocess.TimeoutExpired):
        raise MachineTimeout(f"{target.host}: the command had not ended after {timeout_s:g} s; it may go on") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
    return Ended(code, tail.decode(errors="replace"))


def _pieces(descriptor: int, deadline: float) -> Iterator[bytes]:
    """Yield what can be read, up to the end.  Raises TimeoutError."""
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
            raise TimeoutError
        piece = os.read(descriptor, 64 * 1024)
        if not piece:
            return
        yield piece


@contextmanager
def _memory_file(content: bytes) -> Generator[int]:
    """A file without a name, on no disk: what is in it may be a key."""
    descriptor = os.memfd_create("sylvite-deploy", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _environment() -> dict[str, str]:
    """What ssh needs, and nothing that it would hand to the other side or ask."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
