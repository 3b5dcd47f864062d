"""See `sylvite.compat.exitcodes`."""

from sylvite.compat.exitcodes import (
    EX_AGGREGATE,
    EX_CANTCREAT,
    EX_GENERIC,
    EX_NOPERM,
    EX_NOUSER,
    EX_OK,
    EX_PILLAR_FAILURE,
    EX_SOFTWARE,
    EX_STATE_COMPILER_ERROR,
    EX_STATE_FAILURE,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    EX_USAGE,
    SALT_BUILD_FAIL,
    SALT_KEEPALIVE,
)

__all__ = [
    "EX_AGGREGATE",
    "EX_CANTCREAT",
    "EX_GENERIC",
    "EX_NOPERM",
    "EX_NOUSER",
    "EX_OK",
    "EX_PILLAR_FAILURE",
    "EX_SOFTWARE",
    "EX_STATE_COMPILER_ERROR",
    "EX_STATE_FAILURE",
    "EX_TEMPFAIL",
    "EX_UNAVAILABLE",
    "EX_USAGE",
    "SALT_BUILD_FAIL",
    "SALT_KEEPALIVE",
]
