"""Stream: events from a subscription to stdout, until enough, late enough, or interrupted."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from sylvite.cli import exit_codes
from sylvite.cli.output import Lines
from sylvite.cli.render import Rendering
from sylvite.core.event import Gap

if TYPE_CHECKING:
    from sylvite.client.sync_client import Client
    from sylvite.client.sync_subscription import Subscription

NANOSECONDS = 1_000_000_000
CHECK_EVENTS = 1024
"""How often the time is looked at while there always is another event."""


class Stop:
    """When to stop.  None: never for this reason.

    `count`: events shown; `end`: offsets from there on are not shown; `until_ns`: nor what came later than that;
    `timeout_s`: from now on.
    """

    def __init__(
        self,
        *,
        count: int | None = None,
        end: int | None = None,
        until_ns: int | None = None,
        timeout_s: float | None = None,
    ) -> None:
        self.count, self.end, self.until_ns = count, end, until_ns
        now = time.monotonic()
        self._timeout = None if timeout_s is None else now + timeout_s
        # The clock of the wall may jump; how long it is until then is asked once.
        self._until = None if until_ns is None else now + (until_ns - time.time_ns()) / NANOSECONDS

    def remaining_s(self) -> float | None:
        """How long to wait for more; 0 or less: no longer."""
        deadlines = [deadline for deadline in (self._timeout, self._until) if deadline is not None]
        return min(deadlines) - time.monotonic() if deadlines else None

    def exit_code(self) -> int:
        """What to end with where no time remains."""
        late = self._timeout is not None and time.monotonic() >= self._timeout
        return exit_codes.TIMEOUT if late else exit_codes.DONE


class Stream:
    """Shows what a subscription yields.  `gaps`: `error`, `show` or `hide`."""

    def __init__(self, rendering: Rendering, gaps: str, lines: Lines | None = None) -> None:
        self._rendering, self._gaps = rendering, gaps
        self._lines = lines if lines is not None else Lines()

    def _on_gap(self, gap: Gap) -> None:
        if self._gaps == "hide":
            return
        line = self._rendering.gap(gap)
        if self._rendering.gap_in_line:
            self._lines.write(line)
        else:
            self._lines.flush()
            click.echo(line, nl=False, err=True)

    def subscribe(self, client: Client, *patterns: str, **arguments: Any) -> Subscription:
        """Subscribe so that gaps come here; with `error` they are raised instead."""
        on_gap = None if self._gaps == "error" else self._on_gap
        return client.subscribe(*patterns, **arguments, on_gap=on_gap)

    def run(self, subscription: Subscription, stop: Stop, *, acknowledge: bool = False) -> int:
        """Show events until `stop` says so; return the exit code.

        `acknowledge`: move the cursor behind what was shown, once it is out of this process.

        Raises:
            EventsMissed: a gap, where gaps are errors.
            BrokenPipeError: nobody reads any more.
        """
        render, write = self._rendering.event, self._lines.write
        left = stop.count
        last, shown = None, 0
        if left == 0:
            return exit_codes.DONE
        try:
            while True:
                event = subscription.next(0.0)
                if event is None:
                    self._lines.flush()
                    if acknowledge and last is not None:
                        subscription.ack(last)
                        last = None
                    if subscription.ended:
                        return exit_codes.DONE
                    wait_s = stop.remaining_s()
                    if wait_s is not None and wait_s <= 0:
                        return stop.exit_code()
                    event = subscription.next(wait_s)
                    if event is None:
                        continue
                if stop.end is not None and event.offset >= stop.end:
                    return exit_codes.DONE
                if stop.until_ns is not None and event.stamp_ns > stop.until_ns:
                    return exit_codes.DONE
                write(render(event))
                last, shown = event, shown + 1
                if shown % CHECK_EVENTS == 0 and (remaining_s := stop.remaining_s()) is not None and remaining_s <= 0:
                    return stop.exit_code()
                if left is not None:
                    left -= 1
                    if not left:
                        return exit_codes.DONE
        finally:
            self._lines.flush()
            if acknowledge and last is not None and sys.exc_info()[0] is None:
                subscription.ack(last)
