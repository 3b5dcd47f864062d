"""The library: apache-libcloud, imported where it is used, and its errors under our names."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from sylvite.cloud.errors import (
    AnswerUnknown,
    CloudError,
    LibraryMissing,
    NotSupported,
    ProviderBusy,
    ProviderError,
    ProviderNotReachable,
    ProviderRefused,
)
from sylvite.errors import SylviteError

MESSAGE_CHARACTERS_MAX = 400
RETRY_AFTER_MAX_S = 3600.0
_UNWANTED = ("LIBCLOUD_DEBUG", "LIBCLOUD_RETRY_FAILED_HTTP_REQUESTS")
"""Variables that libcloud obeys: the first writes every request with its passwords into a file; the second sends a
request once more of which nobody knows whether it was carried out, so that there are two machines."""


def library(name: str) -> Any:
    """Return a module of libcloud.  Raises LibraryMissing."""
    for variable in _UNWANTED:
        os.environ.pop(variable, None)
    try:
        return import_module(f"libcloud.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "libcloud":
            raise LibraryMissing from error
        raise NotSupported(
            f"libcloud's {name} needs another package: {error.name}; install it beside libcloud"
        ) from error


@contextmanager
def asking(what: str, redact: Callable[[str], str], *, changes: bool = False) -> Generator[None]:
    """Give an error of a driver a name of ours.  Nothing of its own goes further, not even as a cause: it may hold secrets.

    `what`: what is being done, for the message.  `changes`: it changes something at the provider, so that without an
    answer nobody knows.
    """
    try:
        yield
    except SylviteError:
        raise
    except Exception as error:  # noqa: BLE001 - 49 drivers raise what they like
        translated = translate(error, what, redact, changes=changes)
    else:
        return
    raise translated from None


def translate(error: Exception, what: str, redact: Callable[[str], str], *, changes: bool) -> CloudError:
    """Return the error of ours for one of a driver."""
    message = f"{what}: {redact(_words(error))[:MESSAGE_CHARACTERS_MAX]}"
    if isinstance(error, NotImplementedError):
        return NotSupported(f"{what}: the driver cannot do that")
    names = {kind.__name__ for kind in type(error).__mro__}
    if "RequestException" in names or isinstance(error, OSError):
        return _without_answer(names, message, changes=changes)
    if "InvalidCredsError" in names:
        return ProviderRefused(f"{message}; are the credentials right?", status=401)
    status = _status(error)
    if status and str(status) not in message:
        message = f"{message} (HTTP {status})"
    if status in (401, 403):
        return ProviderRefused(message, status=status)
    if status in (429, 503):
        return ProviderBusy(message, status=status, retry_after_s=_retry_after_s(error))
    if status >= 500 or "MalformedResponseError" in names:
        return AnswerUnknown(message, status=status) if changes else ProviderError(message, status=status)
    if status:
        return ProviderError(message, status=status)
    if "LibcloudError" in names or "BaseHTTPError" in names:
        return ProviderError(message)
    # A driver that stumbles over an answer: what was asked for may have been done.
    stumbled = f"{message} ({type(error).__name__} in the driver)"
    return AnswerUnknown(stumbled) if changes else ProviderError(stumbled)


def _without_answer(names: set[str], message: str, *, changes: bool) -> CloudError:
    never_arrived = {"ConnectTimeout", "SSLError", "ProxyError", "gaierror", "ConnectionRefusedError"} & names
    if never_arrived or "NewConnectionError" in message or "Failed to establish" in message or not changes:
        return ProviderNotReachable(message)
    return AnswerUnknown(f"{message}; nobody knows whether it was done")


def _words(error: Exception) -> str:
    text = getattr(error, "value", None) if type(error).__name__.endswith(("LibcloudError", "CredsError")) else None
    shown = " ".join(str(text if isinstance(text, str) else error).split())
    return shown or type(error).__name__


def _status(error: Exception) -> int:
    for name in ("code", "http_code", "status"):
        found = getattr(error, name, None)
        if isinstance(found, int) and 100 <= found < 600:
            return int(found)
    return 0


def _retry_after_s(error: Exception) -> float:
    found = getattr(error, "retry_after", 0)
    return min(float(found), RETRY_AFTER_MAX_S) if isinstance(found, int | float) and found > 0 else 0.0
