"""Precautions: what a broker looks at before it starts.

What only concerns this process is put right.  Where somebody else could put another file in the place of ours, the start
is refused, with what to do about it: who may write to a folder can rename what is in it, whoever that belongs to.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import resource
import stat
from collections import deque
from pathlib import Path

from sylvite.errors import InvalidSetting

LINKS_MAX = 40
FOLDER_MODE = 0o700


def secure_process() -> None:
    """Leave no memory on disk, create nothing that others can read, and open no file in the place of stderr.

    Raises:
        InvalidSetting: the process has rights left from the user that started it.
    """
    # A descriptor below 3 would be the next file that is opened: a segment, which messages then are written to.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    # What the memory holds are other people's events; the usual handlers of core files obey this too (core(5)).
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    uids, gids = set(os.getresuid()), set(os.getresgid())
    if len(uids) > 1 or len(gids) > 1:
        raise InvalidSetting(
            "user", f"uids {sorted(uids)}, gids {sorted(gids)}", "could become another one again; start it as one user"
        )
    if os.geteuid() != 0 and os.getegid() != 0 and 0 in os.getgroups():
        raise InvalidSetting("user", f"uid {os.geteuid()}", "still has the group of root; start it without")


def secure_folder(path: Path, setting: str) -> None:
    """Make a folder if need be; make sure that nobody else can put something in its place.

    Each folder on the way, also where links lead, has to belong to us or root, and nobody else may write to it; or, as
    in /tmp, it has the sticky bit, and what we use of it is ours.

    Raises:
        InvalidSetting: it names the folder, and what is wrong with it.
    """
    try:
        _walk(path, setting, make=True)
    except OSError as error:
        raise InvalidSetting(setting, str(path), f"cannot be made or looked at: {error.strerror}") from error


def check_folder(path: Path, setting: str) -> None:
    """As `secure_folder`, for a folder that is there; it changes nothing.

    Raises:
        InvalidSetting: it is not there, or not safe.
    """
    try:
        _walk(path, setting, make=False)
    except OSError as error:
        raise InvalidSetting(setting, str(path), f"cannot be looked at: {error.strerror}") from error


def check_file(path: Path, setting: str) -> None:
    """Make sure that nobody else can write a file, or put another one in its place.

    What is no file (a pipe, say) was handed over by who started us, and is not looked at.

    Raises:
        InvalidSetting: it names the file or folder, and what is wrong with it.
    """
    try:
        if stat.S_ISREG(path.stat().st_mode):
            _walk(path, setting, make=False)
    except OSError as error:
        raise InvalidSetting(setting, str(path), f"cannot be read: {error.strerror}") from error


def _walk(path: Path, setting: str, *, make: bool) -> None:
    place = "/"
    _check(os.lstat(place), place, path, setting)
    todo = deque(path.absolute().parts[1:])
    links = 0
    while todo:
        name = todo.popleft()
        if name == "..":
            place = os.path.dirname(place)
            continue
        following = os.path.join(place, name)
        try:
            status = os.lstat(following)
        except FileNotFoundError:
            if not make:
                raise
            with contextlib.suppress(FileExistsError):  # Another one of ours, which starts beside us, was quicker.
                os.mkdir(following, FOLDER_MODE)
            status = os.lstat(following)
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > LINKS_MAX:
                raise InvalidSetting(setting, str(path), "leads through too many links")
            _check_owner(status, following, path, setting)
            target = os.readlink(following)
            if target.startswith("/"):
                place = "/"
            todo.extendleft(reversed([part for part in target.split("/") if part not in ("", ".")]))
            continue
        if (todo or make) and not stat.S_ISDIR(status.st_mode):
            raise InvalidSetting(setting, str(path), f"cannot be used: {following} is no folder")
        _check(status, following, path, setting)
        place = following


def _check(status: os.stat_result, place: str, path: Path, setting: str) -> None:
    _check_owner(status, place, path, setting)
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return  # What others may do there is to add names; what we find under ours is looked at next.
    by_group = status.st_mode & stat.S_IWGRP and status.st_gid != 0 and not _is_own_group(status)
    if by_group or status.st_mode & stat.S_IWOTH:
        raise InvalidSetting(
            setting, str(path), f"is not safe: others may write to {place}; `chmod go-w` it, or choose another place"
        )


def _check_owner(status: os.stat_result, place: str, path: Path, setting: str) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise InvalidSetting(
            setting, str(path), f"is not safe: {place} belongs to uid {status.st_uid}, who could put something else there; "
            "give it to the user of the broker, or choose another place",
        )  # fmt: skip


def _is_own_group(status: os.stat_result) -> bool:
    """Say whether this is the group that many systems make for each user, with nobody else in it."""
    try:
        group, user = grp.getgrgid(status.st_gid), pwd.getpwuid(status.st_uid)
    except KeyError:
        return False
    return group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
