"""Problems: every error as `application/problem+json` (RFC 9457), with the status that fits its code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from sylvite.errors import InvalidInput, Overloaded, SylviteError, facts_of

STATUSES: Mapping[str, int] = {
    "event_too_big": 413,
    "not_authenticated": 401,
    "not_allowed": 403,
    "no_such_token": 404,
    "no_such_offset": 404,
    "no_such_job": 404,
    "no_such_cursor": 404,
    "no_such_key": 404,
    "offset_gone": 410,
    "cursor_in_use": 409,
    "stale_sequence": 409,
    "move_refused": 409,
    "key_in_use": 409,
    "too_many_requests": 429,
    "no_space": 503,
    "log_failed": 503,
    "connection_lost": 503,
    "broker_not_reachable": 503,
    "job_store_failed": 503,
    "keyring_busy": 503,
    "keyring_failed": 503,
    "ack_unknown": 504,
    "ack_timeout": 504,
    "durability_unknown": 504,
    "replication_unknown": 504,
    "wait_timeout": 504,
}
RETRY_S = 5
"""Said of what may succeed later (Retry-After)."""


class TooManyRequests(Overloaded):
    """`retry_s`: when it may be tried again."""

    code = "too_many_requests"

    def __init__(self, message: str, retry_s: float = RETRY_S) -> None:
        super().__init__(message)
        self.retry_s = math.ceil(retry_s)


class BodyTooBig(InvalidInput):
    code = "body_too_big"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body has more than {limit} bytes")
        self.limit = limit


class NotFound(SylviteError):
    code = "not_found"


class WrongMethod(SylviteError):
    code = "wrong_method"


class WrongType(InvalidInput):
    code = "wrong_type"


class NotAcceptable(InvalidInput):
    code = "not_acceptable"


class NotInstalled(SylviteError):
    """What an entry needs is an extra that is not there."""

    code = "not_installed"


_MORE: Mapping[str, int] = {
    "not_acceptable": 406,
    "body_too_big": 413,
    "not_found": 404,
    "wrong_method": 405,
    "wrong_type": 415,
    "not_installed": 501,
}


def status_of(error: SylviteError) -> int:
    code = error.code
    if code in STATUSES or code in _MORE:
        return STATUSES.get(code) or _MORE[code]
    if isinstance(error, Overloaded):
        return 503
    return 400 if isinstance(error, InvalidInput) else 500


def problem(error: SylviteError, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer to a request that failed: the code of the error, what was wrong, and its facts."""
    status = status_of(error)
    more = dict(headers or {})
    if status in (429, 503):
        more["Retry-After"] = str(error.retry_s if isinstance(error, TooManyRequests) else RETRY_S)
    if status == 401:
        more["WWW-Authenticate"] = "Bearer"
    body = {
        **facts_of(error),
        "type": f"urn:sylvite:problem:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": error.code,
        "detail": str(error),
    }
    return Response(msgspec.json.encode(body), status, more, media_type="application/problem+json")
