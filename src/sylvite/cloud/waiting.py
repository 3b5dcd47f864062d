"""Waiting for a machine: asking again until it is as wanted, with the clock as a seam."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from sylvite.cloud.errors import CloudError, MachineTimeout, ProviderBusy, ProviderError, ProviderRefused

T = TypeVar("T")


class Clock(Protocol):
    """Where time comes from, and goes."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def until(
    look: Callable[[], T | None],
    what: str,
    clock: Clock,
    *,
    timeout_s: float,
    interval_s: float,
    first_s: float | None = None,
) -> T:
    """Call `look` until it returns something.

    `first_s`: the first interval, for what may be done at once; each is twice the one before, up to `interval_s`.
    A provider that is busy or away for a moment is asked again: looking changes nothing.

    Raises:
        MachineTimeout: not within the time; it names the last error of the provider, if that was the reason.
        CloudError: any other error of `look`.
    """
    deadline = clock.monotonic() + timeout_s
    last: CloudError | None = None
    growing_s = interval_s if first_s is None else first_s
    while True:
        wait_s = growing_s
        growing_s = min(2 * growing_s, interval_s)
        try:
            found = look()
            last = None
        except ProviderError as error:
            if isinstance(error, ProviderRefused) or (400 <= error.status < 500 and error.status != 429):
                raise
            last, found = error, None
            if isinstance(error, ProviderBusy):
                wait_s = max(wait_s, error.retry_after_s)
        if found is not None:
            return found
        left_s = deadline - clock.monotonic()
        if left_s <= 0:
            reason = f"; the last answer was: {last}" if last is not None else ""
            raise MachineTimeout(f"{what} within {timeout_s:g} s{reason}")
        clock.sleep(min(wait_s, left_s))
