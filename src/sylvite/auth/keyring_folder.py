"""The folder of the keys: ours alone, and what is found in it is looked at before it is used.

Everything is opened relative to the folder's own descriptor and never through a link.  A file appears whole, under its
name, with its final mode, or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import stat
import time
from collections.abc import Generator
from pathlib import Path
from types import TracebackType

from sylvite.auth.keyring_values import KeyringBusy
from sylvite.auth.keys import InvalidKey, KeyPair, PublicKey, make_pair, read_pair, read_pem
from sylvite.errors import InvalidSetting

FOLDER_MODE, FILE_MODE = 0o700, 0o600
FILE_BYTES_MAX = 16 * 1024
LOCKED_WITHIN_S = 10.0
LOOK_AGAIN_S = 0.02
SETTING = "keys"
"""The name that errors give to all of this."""
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK a pipe of that name would keep us for ever.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class KeyFolder:
    """A folder of keys, opened: a context manager."""

    def __init__(self, path: Path, *, make: bool = False) -> None:
        """`make`: make it where it is not there.

        Raises:
            InvalidSetting: it is not there, is no folder, or is not ours alone; the message says what to do.
        """
        self.path = path
        try:
            if make:
                for folder in (*reversed(path.parents), path):
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(folder, FOLDER_MODE)
            self._descriptor = os.open(path, _OPEN_FOLDER)
        except FileNotFoundError as error:
            raise InvalidSetting(
                SETTING, str(path), "is not there; `sylvite keys gen` makes it, or say with --dir where the master's data is"
            ) from error  # fmt: skip
        except OSError as error:
            raise InvalidSetting(SETTING, str(path), f"cannot be opened as a folder: {error.strerror}") from error
        try:
            self._check_folder()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> KeyFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._descriptor)

    @contextlib.contextmanager
    def locked(self, name: str = "lock") -> Generator[None]:
        """Hold a lock of the folder, a file that is never taken away; wait for it.  It ends with the process that has it.

        Raises:
            InvalidSetting: the file is not ours alone.
            KeyringBusy: another process has had it for LOCKED_WITHIN_S: it may be stopped, or waits for a bus that hangs.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(name, flags, FILE_MODE, dir_fd=self._descriptor)
        except OSError as error:
            raise self._wrong(name, f"cannot be opened: {error.strerror}") from error
        try:
            self._check_file(name, os.fstat(descriptor))
            self._take(descriptor, name)
            yield
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int, name: str) -> None:
        deadline = time.monotonic() + LOCKED_WITHIN_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise KeyringBusy(f"another process holds {self.path / name}; try again") from error
            time.sleep(LOOK_AGAIN_S)

    def has(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def read(self, name: str) -> bytes:
        """Return what a file holds.

        Raises:
            InvalidSetting: it is not there, too long, or not ours alone.
        """
        try:
            descriptor = os.open(name, _OPEN_FILE, dir_fd=self._descriptor)
        except OSError as error:
            raise self._wrong(name, f"cannot be opened: {error.strerror}") from error
        try:
            self._check_file(name, os.fstat(descriptor))
            found = os.read(descriptor, FILE_BYTES_MAX + 1)
        finally:
            os.close(descriptor)
        if len(found) > FILE_BYTES_MAX:
            raise self._wrong(name, f"has more than {FILE_BYTES_MAX} bytes")
        return found

    def check(self, name: str) -> bool:
        """Return whether a file is there, after a look at whose it is.

        Raises:
            InvalidSetting: it is not ours alone.
        """
        try:
            status = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        self._check_file(name, status)
        return True

    def write(self, name: str, content: bytes, *, replace: bool = False) -> None:
        """Make a file: synced, whole, and in the place of another one only with `replace`.  Call it with the folder locked.

        Raises:
            InvalidSetting: there is one of that name.
            OSError: the disk failed; nothing is there under that name.
        """
        if not replace and self.has(name):
            raise self._wrong(name, "is there already, and is not replaced")
        new = f".{name}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new, dir_fd=self._descriptor)  # What a crash has left: nobody else writes while we hold the lock.
        descriptor = os.open(new, _MAKE_FILE, FILE_MODE, dir_fd=self._descriptor)
        try:
            os.fchmod(descriptor, FILE_MODE)  # A umask may have taken more away.
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except BaseException:
            os.unlink(new, dir_fd=self._descriptor)
            raise
        finally:
            os.close(descriptor)
        os.rename(new, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        # Without it a crash can forget the name, and the next start would make another key (fsync(2)).
        os.fsync(self._descriptor)

    def remove(self, name: str) -> None:
        """Take a file away, if it is there.  Call it with the folder locked."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)
        os.fsync(self._descriptor)

    def _check_folder(self) -> None:
        status = os.fstat(self._descriptor)
        if status.st_uid != os.geteuid():
            raise InvalidSetting(SETTING, str(self.path), _belongs_to(status.st_uid))
        if status.st_mode & 0o077:
            raise InvalidSetting(SETTING, str(self.path), "is open to other users; close it with `chmod 700`")

    def _check_file(self, name: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise self._wrong(name, "is no regular file; move it away")
        if status.st_uid != os.geteuid():
            raise self._wrong(name, _belongs_to(status.st_uid))
        if status.st_mode & 0o077:
            raise self._wrong(
                name, "is open to other users: what it holds may be known; make a new one, or `chmod 600`"
            )
        if status.st_nlink > 1:
            raise self._wrong(name, "has another name elsewhere; move it away")

    def _wrong(self, name: str, reason: str) -> InvalidSetting:
        return InvalidSetting(SETTING, str(self.path / name), reason)


def _belongs_to(uid: int) -> str:
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"belongs to uid {uid}, and not to you; run this as that user"
    return f"belongs to {user}, and not to you; run this as that user, such as with `sudo -u {user}`"


# -- Pairs in files --------------------------------------------------------------------------------------------------


def private_name(name: str) -> str:
    return f"{name}.key"


def public_name(name: str) -> str:
    return f"{name}.pub"


def keep_pair(folder: KeyFolder, name: str, pair: KeyPair) -> None:
    """Write a pair to `NAME.key` and its public key to `NAME.pub`.

    Raises:
        InvalidSetting: there is a `NAME.key`; it is left as it is.
    """
    with folder.locked():
        _keep(folder, name, pair)


def load_pair(folder: KeyFolder, name: str) -> KeyPair:
    """Return the pair in `NAME.key`.

    Raises:
        InvalidSetting: it is not there, is not ours alone, or is damaged.
    """
    content = folder.read(private_name(name))
    try:
        return read_pair(content)
    except InvalidKey as error:
        reason = f"is not a key of ours: {error}"
        raise InvalidSetting(SETTING, str(folder.path / private_name(name)), reason) from error


def load_or_make_pair(folder: KeyFolder, name: str) -> tuple[KeyPair, bool]:
    """Return the pair in `NAME.key`, made where there is none; and whether it was made.  Of two processes one makes it.

    Raises:
        InvalidSetting: as `load_pair`.
    """
    with folder.locked():
        if folder.has(private_name(name)):
            pair = load_pair(folder, name)
            if not folder.has(public_name(name)):
                folder.write(public_name(name), public_file(pair.public))  # A crash came between the two.
            return pair, False
        pair = make_pair()
        _keep(folder, name, pair)
        return pair, True


def load_public(folder: KeyFolder, name: str) -> PublicKey:
    """Return the key in `NAME.pub`, without loading the private one.

    Raises:
        InvalidSetting: as `load_pair`.
    """
    content = folder.read(public_name(name))
    try:
        return read_pem(content.decode("ascii"))
    except (InvalidKey, UnicodeDecodeError) as error:
        raise InvalidSetting(SETTING, str(folder.path / public_name(name)), f"is not a key of ours: {error}") from error


def _keep(folder: KeyFolder, name: str, pair: KeyPair) -> None:
    if folder.has(public_name(name)) and not folder.has(private_name(name)):
        raise InvalidSetting(SETTING, str(folder.path / public_name(name)), "is of another key; move it away")
    folder.write(private_name(name), pair.pem())
    folder.write(public_name(name), public_file(pair.public))


def public_file(public: PublicKey) -> bytes:
    """Return what is in a `NAME.pub`."""
    return f"{public.pem}\n".encode()
