"""External authentication: whether somebody is who he says, and what he may then do.

Every back end answers a wrong password and an unknown user alike, after about the same time.  Which back ends there are, and what their
users may do, stands in the master's file alone (`external_auth`).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import grp
import hashlib
import hmac
import json
import os
import pwd
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from sylvite.api.patience import Patience
from sylvite.api.problems import TooManyRequests
from sylvite.api.settings import ApiSettings
from sylvite.daemons.precautions import check_file
from sylvite.errors import InvalidSetting, NotAuthenticated, Overloaded

CHECKS_MAX = 5
CHECKS_S = 60.0
"""Wrong passwords of one user from one address in this time; then it waits."""
AT_ONCE = 2
WAITING_MAX = 16
PAM_S = 10.0
PASSWORD_CHARACTERS_MAX = 1024
SECRET_CHARACTERS_MIN = 32
FILE_BYTES_MAX = 4 * 1024 * 1024
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**14, 8, 1
SCRYPT_MEMORY = 64 * 1024 * 1024
_WRONG = "Could not authenticate using provided credentials"


class Person(NamedTuple):
    """Who has shown who he is, and what he may do: Salt's perms."""

    name: str
    backend: str
    perms: tuple[Any, ...]


class Eauth:
    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._patience = Patience()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._asked: list[tuple[str, str]] = []
        """Whose passwords are looked at right now: user and address."""

    async def check(self, credentials: Mapping[str, Any], address: str) -> Person:
        """Return who this is.  `credentials`: `username`, `password`, `eauth`.

        Raises:
            NotAuthenticated: nobody knows him so, or he may do nothing.
            TooManyRequests: too many wrong ones.  Overloaded: too many at once.
        """
        name, backend = credentials.get("username"), credentials.get("eauth")
        password = credentials.get("password", credentials.get("sharedsecret"))
        users = self._settings.external_auth.get(backend) if isinstance(backend, str) else None
        if not isinstance(name, str) or not isinstance(password, str) or users is None or not isinstance(backend, str):
            raise NotAuthenticated(_WRONG)
        if len(password) > PASSWORD_CHARACTERS_MAX or len(name) > 128 or "\0" in name + password:
            raise NotAuthenticated(_WRONG)
        who = name, address
        self._look(who)
        if not await self._is_right(backend, who, password):
            raise NotAuthenticated(_WRONG)
        # Groups may come from elsewhere, as over LDAP, and take a while.
        groups = await asyncio.to_thread(groups_of, name) if backend == "pam" and any(map(is_group, users)) else ()
        perms = perms_of(users, name, groups)
        if not perms:
            raise NotAuthenticated(_WRONG)
        return Person(name, backend, perms)

    def _look(self, who: tuple[str, str]) -> None:
        """Raises TooManyRequests."""
        if self._patience.is_over(who, CHECKS_MAX - self._asked.count(who), CHECKS_S):
            raise TooManyRequests("too many wrong passwords of this user from this address; wait a minute")

    async def _is_right(self, backend: str, who: tuple[str, str], password: str) -> bool:
        if self._waiting >= WAITING_MAX:
            raise Overloaded("too many log-ins at once; try again")
        self._waiting += 1
        try:
            async with self._room:
                # Once more: of many that came at once, those before this one may have been wrong by now.
                self._look(who)
                self._asked.append(who)
                try:
                    is_right = await self._ask(backend, who[0], password)
                finally:
                    self._asked.remove(who)
                if not is_right:
                    self._patience.failed(who, CHECKS_S)
                return is_right
        finally:
            self._waiting -= 1

    async def _ask(self, backend: str, name: str, password: str) -> bool:
        match backend:
            case "auto":
                return True
            case "sharedsecret":
                return _same_secret(self._settings.sharedsecret, password)
            case "file":
                return await asyncio.to_thread(_in_file, self._settings, name, password)
            case "pam":
                return await _pam(self._settings.pam_service, name, password)
            case _:
                return False


def perms_of(users: Mapping[str, Any], name: str, groups: Collection[str] = ()) -> tuple[Any, ...]:
    """Return what somebody may do: what stands under his name, else under `*`, and under each of his groups (`NAME%`)."""
    if name.startswith(("^", "*")) or is_group(name):
        return ()
    said: list[object] = [users.get(name, users.get("*")), *(users.get(f"{group}%") for group in sorted(groups))]
    found = [perm for perms in said if isinstance(perms, list) for perm in cast("list[Any]", perms)]
    return tuple(perm for place, perm in enumerate(found) if perm not in found[:place])


def is_group(name: str) -> bool:
    return name.endswith("%")


def groups_of(name: str) -> frozenset[str]:
    """Return the names of all groups of a user, as this system knows them."""
    try:
        found = os.getgrouplist(name, pwd.getpwnam(name).pw_gid)
    except KeyError:
        return frozenset()
    return frozenset(group for gid in found if (group := _group_name(gid)))


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""  # A number that nobody has named.


def _same_secret(secret: str, password: str) -> bool:
    return len(secret) >= SECRET_CHARACTERS_MIN and hmac.compare_digest(secret.encode(), password.encode())


# -- A file of users ---------------------------------------------------------------------------------------------


def make_line(name: str, password: str, salt: bytes) -> str:
    """Return the line of a user: `name:scrypt$N$r$p$SALT$HASH`, salt and hash in base64."""
    hash_ = hashlib.scrypt(password.encode(), salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, maxmem=SCRYPT_MEMORY)
    parts = (base64.b64encode(salt).decode(), base64.b64encode(hash_).decode())
    return f"{name}:scrypt${SCRYPT_N}${SCRYPT_R}${SCRYPT_P}${parts[0]}${parts[1]}"


_NOBODY = make_line("", "", b"\0" * 16)
"""What is worked out for a user that there is not: so it takes as long as for one that there is."""


def _in_file(settings: ApiSettings, name: str, password: str) -> bool:
    """Raises InvalidSetting: the file cannot be used."""
    where = settings.external_auth["file"].get("^filename")
    if not isinstance(where, str):
        raise InvalidSetting("external_auth:file", "^filename", "must be the path of a file of users")
    check_file(Path(where), "external_auth:file")
    try:
        with open(where, encoding="utf-8") as file:
            lines = file.read(FILE_BYTES_MAX).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting("external_auth:file", where, f"cannot be read: {error}") from error
    line = next((line for line in lines if line.partition(":")[0] == name and name), _NOBODY)
    return _fits(line.partition(":")[2].strip(), password) and line is not _NOBODY


def _fits(kept: str, password: str) -> bool:
    parts = kept.split("$")
    try:
        kind, n, r, p, salt, hash_ = parts
        if kind != "scrypt" or int(n) < SCRYPT_N:
            return False  # Plain passwords and fast hashes are for whoever finds the file.
        found = hashlib.scrypt(
            password.encode(), salt=base64.b64decode(salt), n=int(n), r=int(r), p=int(p), maxmem=SCRYPT_MEMORY
        )
        return hmac.compare_digest(found, base64.b64decode(hash_))
    except (ValueError, binascii.Error):
        return False


# -- PAM ---------------------------------------------------------------------------------------------------------


async def _pam(service: str, name: str, password: str) -> bool:
    """Ask PAM in a process of its own, which has the password from us and nothing else.

    Raises:
        Overloaded: it did not answer in time.
    """
    asked = json.dumps({"service": service, "name": name, "password": password}).encode()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "sylvite.api.pam", stdin=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        async with asyncio.timeout(PAM_S):
            await process.communicate(asked)
    except TimeoutError as error:
        raise Overloaded("the system did not say in time whether the password is right; try again") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode == 0
