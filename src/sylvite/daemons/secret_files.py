"""Files with secrets: one a line, the newest first, in a file that nobody else can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sylvite.auth.webhooks import Secret, read_secret
from sylvite.daemons.precautions import check_file
from sylvite.errors import InvalidInput, InvalidSetting

BYTES_MAX = 4096
SECRETS_MAX = 8


def read_secrets(path: Path, scheme: str, setting: str) -> tuple[Secret, ...]:
    """Return the secrets of a file, for a scheme of auth/webhooks.py.

    Raises:
        InvalidSetting: it is not there, others may read or change it, or a line is no secret; no message repeats one.
    """
    check_file(path, setting)
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
                raise InvalidSetting(setting, str(path), "is not safe: others may read it; `chmod 600` it")
            raw = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise InvalidSetting(setting, str(path), f"cannot be read: {error.strerror}") from error
    try:
        lines = [line.strip() for line in raw.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise InvalidSetting(setting, str(path), "is not text") from None
    if len(raw) > BYTES_MAX or not 0 < len(lines) <= SECRETS_MAX:
        raise InvalidSetting(setting, str(path), f"must hold 1 to {SECRETS_MAX} secrets, one a line, the newest first")
    found: list[Secret] = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(read_secret(scheme, line))
        except InvalidInput as error:
            raise InvalidSetting(setting, f"{path}, secret {number}", f"cannot be used: {error}") from None
    return tuple(found)
