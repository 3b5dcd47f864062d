"""Sources: the files with functions in them, and whether they may be run.

They run with all rights of the process.  So a file that somebody else could have written, or put there, is never read:
it and each folder on the way to it belong to us or root, and nobody else may write to them.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from sylvite.functions.errors import ModuleNotLoaded

SOURCE_BYTES_MAX = 4 * 1024 * 1024


class Source(NamedTuple):
    """`own`: one of those that come with Sylvite.  `mark`: differs when the file was changed, or who may write to it."""

    name: str
    path: Path
    own: bool
    mark: tuple[int, int, int]


def list_sources(folder: Path, *, own: bool) -> list[Source]:
    """Return the modules in a folder, by name; none where there is no such folder.

    Raises:
        ModuleNotLoaded: it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ModuleNotLoaded(f"{folder} cannot be listed: {error.strerror}") from error
    found: list[Source] = []
    for name in names:
        stem, dot, ending = name.rpartition(".")
        if not dot or ending != "py" or stem.startswith("_") or not stem.isidentifier():
            continue
        path = folder / name
        try:
            status = path.stat()
        except OSError:
            status = None  # Reading it will say why.
        mark = (status.st_ctime_ns, status.st_size, status.st_ino) if status is not None else (0, 0, 0)
        found.append(Source(stem, path, own, mark))
    return found


def read_source(path: Path) -> bytes:
    """Return what is in a module of the operator's.

    Raises:
        ModuleNotLoaded: it cannot be read, or others could have written it.
    """
    try:
        real = Path(os.path.realpath(path, strict=True))
        for folder in real.parents:
            _check(os.stat(folder), folder, path)
        descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise ModuleNotLoaded(f"{path} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ModuleNotLoaded(f"{path} is no file")
        _check(status, real, path)
        content = file.read(SOURCE_BYTES_MAX + 1)
    if len(content) > SOURCE_BYTES_MAX:
        raise ModuleNotLoaded(f"{path} has more than {SOURCE_BYTES_MAX} bytes")
    return content


def _check(status: os.stat_result, place: Path, path: Path) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise ModuleNotLoaded(f"{path} is not safe: {place} belongs to uid {status.st_uid}, who could change it")
    # In a folder with the sticky bit others can add names, but not touch ours, which are looked at as well.
    is_shared = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if status.st_mode & 0o022 and not is_shared:
        raise ModuleNotLoaded(f"{path} is not safe: others may write to {place}; `chmod go-w` it")
