"""The file `LOG`: whose log this is, and in which format.  Spec: docs/log-format.md."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from sylvite.errors import LogNotUnderstood
from sylvite.eventlog.segment import FORMAT
from sylvite.eventlog.storage import Storage, read_whole, write_whole

META = "LOG"


class Meta(msgspec.Struct, frozen=True):
    """The file `LOG`."""

    format: int
    log_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    created: str


def read_or_make(storage: Storage, now_ns: int, random_bytes: Callable[[int], bytes]) -> Meta:
    """Read the file that says whose log this is; make it for a new one.

    Raises:
        LogNotUnderstood: not a log of ours, or of a newer version.
    """
    names = storage.names()
    if META not in names:
        if any(name.startswith("seg-") for name in names):
            raise LogNotUnderstood(
                "there are segments, but the file LOG that says whose is missing; nothing was changed"
            )
        created = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).isoformat()
        meta = Meta(FORMAT, random_bytes(16).hex(), created)
        write_whole(storage, META, msgspec.json.encode(meta) + b"\n")
        return meta
    return read_meta(storage)


def read_meta(storage: Storage) -> Meta:
    """Raises LogNotUnderstood: no log of ours, or of a newer version."""
    try:
        meta = msgspec.json.decode(read_whole(storage, META), type=Meta)
    except FileNotFoundError as error:
        raise LogNotUnderstood("there is no log here: the file LOG is missing") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LogNotUnderstood(
            f"the file LOG cannot be read ({error}); restore it from a copy. Nothing was changed"
        ) from error
    if meta.format > FORMAT:
        raise LogNotUnderstood(
            f"the log has format {meta.format}; this version of Sylvite reads up to {FORMAT}. Nothing was changed"
        )
    return meta
