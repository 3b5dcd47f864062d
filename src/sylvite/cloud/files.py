"""Files that are found, and used only if nobody else can have put something into them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from sylvite.client.address import user_folder
from sylvite.errors import InvalidSetting

STATE_VARIABLE = "SYLVITE_CLOUD_STATE"
SYSTEM_STATE = "/var/lib/sylvite/cloud"
FILE_BYTES_MAX = 1024 * 1024


class Found(NamedTuple):
    content: bytes
    others_read: bool


def state_folder() -> Path:
    """Return the folder for what is unfinished: of $SYLVITE_CLOUD_STATE, the system's, else below the user's own state."""
    if named := os.environ.get(STATE_VARIABLE):
        return Path(named)
    return Path(SYSTEM_STATE if os.geteuid() == 0 else os.path.join(user_folder(), "cloud"))


def read_own(path: Path, setting: str, *, private: bool = False) -> Found:
    """Return what is in a file that belongs to us or root, and that nobody else may write, nor replace in its folder.

    `setting`: what names the file, for messages.  `private`: others may not read it either.

    Raises:
        InvalidSetting: it cannot be read, or others may.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise InvalidSetting(setting, str(path), f"cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidSetting(setting, str(path), "is no file")
        _check(status, path, path, setting)
        folder = path.resolve().parent
        _check(os.stat(folder), folder, path, setting)
        if private and status.st_mode & 0o077:
            raise InvalidSetting(setting, str(path), "is a secret that others can reach; `chmod 600` it")
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise InvalidSetting(setting, str(path), f"has more than {FILE_BYTES_MAX} bytes")
    return Found(content, others_read=bool(status.st_mode & 0o044))


def _check(status: os.stat_result, place: Path, path: Path, setting: str) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise InvalidSetting(setting, str(path), f"is not safe: {place} belongs to uid {status.st_uid}")
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        raise InvalidSetting(setting, str(path), f"is not safe: others may write to {place}; `chmod go-w` it")


def private_folder(path: Path, setting: str) -> Path:
    """Make a folder if need be, ours alone, and return it.  Raises InvalidSetting: it is somebody else's."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = os.stat(path)
    except OSError as error:
        raise InvalidSetting(setting, str(path), f"cannot be made: {error.strerror}") from error
    if status.st_uid != os.geteuid():
        raise InvalidSetting(setting, str(path), f"is not safe: it belongs to uid {status.st_uid}")
    if status.st_mode & 0o077:
        raise InvalidSetting(setting, str(path), "is not safe: others can reach it; `chmod 700` it")
    return path
