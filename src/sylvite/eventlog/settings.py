"""What can be set of a log.  It stands alone, so that a program that only reads a configuration loads no log."""

from __future__ import annotations

import msgspec


class LogSettings(msgspec.Struct, frozen=True):
    """`keep_bytes`, `keep_s`: retention, None for no limit.  `keep_free_bytes`: publishing stops when the disk has less.

    `tail_bytes`: of the newest batches kept in memory, for readers that are nearly live.  `scrub_every_s`: how long after
    one reading of all sealed segments the next begins, None for never; `scrub_rate_bytes`: of it, at most so many a second.
    """

    segment_bytes: int = 64 * 1024 * 1024
    keep_bytes: int | None = None
    keep_s: float | None = None
    keep_free_bytes: int = 64 * 1024 * 1024
    tail_bytes: int = 2 * 1024 * 1024
    scrub_every_s: float | None = 86_400.0
    scrub_rate_bytes: int = 4 * 1024 * 1024
