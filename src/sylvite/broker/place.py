"""Places in the file system where a broker is found: the path of a socket, or of the file that says where it listens.

A place is claimed by a lock (flock) on a file beside it, `PATH.lock`, held while the broker lives: of two brokers with
different logs only one puts anything there, or takes a dead one's socket away.  The lock alone counts; the process that
the file names is for the message.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from pathlib import Path

from sylvite.errors import AddressInUse, InvalidSetting

PROBE_S = 1.0


class Place:
    """A claimed path.  `setting` is the name that errors give it."""

    def __init__(self, path: Path, setting: str) -> None:
        """Raises:
        AddressInUse: another process holds the place.
        InvalidSetting: the lock cannot be taken, or is no file of ours.
        """
        self.path, self._setting = path, setting
        self._lock_path = path.with_name(path.name + ".lock")
        self._ours: tuple[int, int] | None = None
        self._lock = self._take_lock()

    def remove_stale(self) -> None:
        """Remove the socket of a broker that has died.

        Raises:
            AddressInUse: somebody listens there, whoever holds the lock.
            InvalidSetting: what is there is no socket, or cannot be tried.
        """
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(status.st_mode):
            raise InvalidSetting(
                self._setting, str(self.path), "is there and is no socket; move it away or choose another path"
            )
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            probe.settimeout(PROBE_S)
            probe.connect(str(self.path))
        except (ConnectionRefusedError, FileNotFoundError):
            self.path.unlink(missing_ok=True)
        except (BlockingIOError, TimeoutError) as error:
            # Its queue is full: a process that hangs, or was stopped, still listens.
            raise AddressInUse(str(self.path)) from error
        except OSError as error:
            raise InvalidSetting(self._setting, str(self.path), f"is there and cannot be tried: {error}") from error
        else:
            raise AddressInUse(str(self.path))
        finally:
            probe.close()

    def bind(self, listening: socket.socket, mode: int) -> None:
        """Put a socket there that has its final mode from the first instant.

        Raises:
            AddressInUse, InvalidSetting: it cannot be put there.
        """
        # The mode of the file that bind makes is that of the unbound socket: there is no gap before a chmod.
        os.fchmod(listening.fileno(), mode)
        umask = os.umask(0o777 & ~mode)
        try:
            listening.bind(str(self.path))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(str(self.path)) from error
            if "too long" in str(error):
                raise InvalidSetting(
                    self._setting, str(self.path), "is too long: a UNIX socket's path has at most 107 bytes"
                ) from error
            raise InvalidSetting(self._setting, str(self.path), f"cannot be made: {error.strerror}") from error
        finally:
            os.umask(umask)
        self.is_ours()

    def is_ours(self) -> None:
        """What is there was put there by us: `release` takes it away."""
        status = os.lstat(self.path)
        self._ours = (status.st_dev, status.st_ino)

    def release(self) -> None:
        """Take away what we have put there, and let others have the place."""
        if self._ours is not None and self._ours == _identity(self.path):
            self.path.unlink(missing_ok=True)
        # While it is still held: who has opened it by then finds out that it is not the lock of the place any more.
        if _identity(self._lock_path) == _identity(self._lock):
            self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)

    def _take_lock(self) -> int:
        # Without O_NONBLOCK a FIFO of that name would keep us for ever.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = -1
        try:
            while True:
                descriptor = os.open(self._lock_path, flags, 0o600)
                self._check_lock(os.fstat(descriptor))
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _identity(self._lock_path) == _identity(descriptor):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
                    lock, descriptor = descriptor, -1
                    return lock
                # Its holder has just released it and taken it away: begin again.
                os.close(descriptor)
                descriptor = -1
        except BlockingIOError as error:
            holder = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip()
            raise AddressInUse(str(self.path), holder) from error
        except OSError as error:
            raise InvalidSetting(
                self._setting, str(self.path), f"cannot be locked by {self._lock_path.name}: {error.strerror}"
            ) from error
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _check_lock(self, status: os.stat_result) -> None:
        """We write into it: so it has to be a file of our own, with no other name elsewhere."""
        if not stat.S_ISREG(status.st_mode):
            wrong = "is no regular file"
        elif status.st_uid not in (0, os.geteuid()):
            wrong = f"belongs to uid {status.st_uid}"
        elif status.st_nlink > 1:
            wrong = "has another name elsewhere"
        else:
            return
        raise InvalidSetting(self._setting, str(self.path), f"cannot be locked: {self._lock_path.name} {wrong}")


def _identity(file: Path | int) -> tuple[int, int] | None:
    try:
        status = os.fstat(file) if isinstance(file, int) else os.lstat(file)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
