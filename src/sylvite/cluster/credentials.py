"""Credentials: who we are to the servers of NATS, as a file says it.

.creds          what `nsc` writes: a JWT and the seed of its key
a seed          one line that begins with SU
user, password  a map of YAML with these two
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any, cast

import msgspec

from sylvite.cluster.nkey import Nkey
from sylvite.config import read_yaml
from sylvite.errors import InvalidSetting

FILE_BYTES_MAX = 64 * 1024
_find_jwt = re.compile(r"-+BEGIN NATS USER JWT-+\s+(?P<jwt>\S+)\s+-+END NATS USER JWT-+").search
_find_seed = re.compile(r"-+BEGIN USER NKEY SEED-+\s+(?P<seed>\S+)\s+-+END USER NKEY SEED-+").search
_is_seed = re.compile(r"S[A-Z2-7]+").fullmatch


class Credentials(msgspec.Struct, frozen=True):
    """What is shown of it holds no secret."""

    user: str | None = None
    password: str | None = None
    jwt: str | None = None
    key: Nkey | None = None

    def __repr__(self) -> str:
        kind = "jwt" if self.jwt else "nkey" if self.key else "user" if self.user else "none"
        return f"Credentials({kind})"


def read_credentials(path: str | Path | None) -> Credentials:
    """Return what a file says; without one, nothing.

    Raises:
        InvalidSetting: it cannot be read, others can read it too, or it is of no kind that we know.
    """
    if path is None:
        return Credentials()
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidSetting("cluster.credentials", str(path), f"cannot be read: {error.strerror}") from error
    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
        raise InvalidSetting("cluster.credentials", str(path), "can be read by others; `chmod 600` it")
    if stat.S_ISREG(status.st_mode) and status.st_uid not in (0, os.geteuid()):
        raise InvalidSetting("cluster.credentials", str(path), f"belongs to uid {status.st_uid}, who could change it")
    try:
        return _parse(raw[: FILE_BYTES_MAX + 1])
    except ValueError as error:
        # Nothing of what the file holds is shown.
        raise InvalidSetting("cluster.credentials", str(path), f"cannot be used: {error}") from None


def _parse(raw: bytes) -> Credentials:
    if len(raw) > FILE_BYTES_MAX:
        raise ValueError(f"it has more than {FILE_BYTES_MAX} bytes")
    try:
        text = raw.decode("ascii").strip() if raw[:1] in (b"S", b"-") else raw.decode().strip()
    except UnicodeDecodeError:
        raise ValueError("it is no text") from None
    if _is_seed(text):
        return Credentials(key=Nkey.from_seed(text))
    jwt, seed = _find_jwt(text), _find_seed(text)
    if jwt and seed:
        return Credentials(jwt=jwt["jwt"], key=Nkey.from_seed(seed["seed"]))
    if "BEGIN" in text:
        raise ValueError("it has no JWT, or no seed, of a user")
    return _login(text)


def _login(text: str) -> Credentials:
    expected = "write `user: NAME` and `password: ...`, a seed of an nkey, or what nsc has written"
    try:
        found = read_yaml(text.encode(), "it")
    except InvalidSetting:
        raise ValueError(expected) from None
    login = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    user, password = login.get("user"), login.get("password")
    if set(login) != {"user", "password"} or not (isinstance(user, str) and isinstance(password, str)):
        raise ValueError(expected)
    return Credentials(user=user, password=password)
