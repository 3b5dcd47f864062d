"""A real sshd on loopback, as a process of this user's, with keys of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType

INSTALL_S = 100.0
PATIENCE_S = 10.0


class NotToBeHad(Exception):
    """There is no sshd, and none can be had here."""


def find_sshd() -> str:
    """Return the program; install Debian's package first, where it is missing and that can be done.

    Its own service is not started.  Raises NotToBeHad.
    """
    paths = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    found = shutil.which("sshd", path=paths)
    if found is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NotToBeHad("openssh-server is not installed, and cannot be installed here")
    _run("apt-get", "-q", "update")
    _run("apt-get", "-q", "-y", "--no-install-recommends", "install", "openssh-server")
    found = shutil.which("sshd", path=paths)
    if found is None:
        raise NotToBeHad("openssh-server was installed, and has no sshd")
    return found


def _run(*command: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_S, check=False, stdin=subprocess.DEVNULL, env=quiet
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotToBeHad(f"openssh-server cannot be installed: {error}") from error
    if done.returncode:
        said = (done.stderr + done.stdout).strip().splitlines()
        raise NotToBeHad(f"openssh-server cannot be installed: {said[-1] if said else command[0]}")


class Sshd:
    """A context manager.  `key`: the file of a key that it lets in.  `stranger`: one that it does not."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self.key, self.stranger = self._make_key("in"), self._make_key("out")
        self.host_key = self._make_key("host")
        self.port = _free_port()
        self.log = folder / "sshd.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def public_host_key(self) -> str:
        return " ".join(self.host_key.with_suffix(".pub").read_text().split()[:2])

    def _make_key(self, name: str) -> Path:
        path = self.folder / name
        path.unlink(missing_ok=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)], check=True, timeout=PATIENCE_S
        )
        return path

    def new_host_key(self) -> None:
        """As if another machine had the address."""
        self.stop()
        self.host_key = self._make_key("host2")
        self.start()

    def __enter__(self) -> Sshd:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        authorized = self.folder / "authorized_keys"
        authorized.write_text(self.key.with_suffix(".pub").read_text())
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.host_key}\nAuthorizedKeysFile {authorized}\n"
            f"PidFile {self.folder}/sshd.pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nLogLevel VERBOSE\n"
            f"SetEnv PATH={os.environ['PATH']}\n"
        )
        # sshd wants a folder of the system's to change its root into, which a package would have made.
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.program, "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=log, process_group=0,
            )  # fmt: skip

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
