"""`sylvite wait`: for events that come, or have come since."""

from __future__ import annotations

import re

import click

from sylvite.cli import exit_codes
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.connect import connect
from sylvite.cli.option_types import DURATION, MOMENT
from sylvite.cli.output_options import output_options, stdout_rendering
from sylvite.cli.selection_options import Wanted, selection_options
from sylvite.core.event import Event
from sylvite.errors import WaitTimeout

EXAMPLES = (
    Example("sylvite wait 'myco/deploy/*' --since 1h", "The first deployment of the last hour, or the next one"),
    Example(
        "sylvite wait 'salt/minion/web1/start' --timeout 1s || echo 'not back'", "Exit code 124 when the time is over"
    ),
    Example(
        "sylvite wait myco/ --count 2 --since 1h --where 'data.ok == True' -o tag",
        "Two events, each printed as it comes",
    ),
)


@command("wait", examples=EXAMPLES)
@click.argument("patterns", nargs=-1, required=True, metavar="PATTERN ...")
@click.option("--since", type=MOMENT, metavar="TIME", help="What came from this time on counts too.")
@click.option("--count", type=click.IntRange(min=1), default=1, metavar="N", help="Wait for N events [1].")
@click.option("--timeout", type=DURATION, metavar="TIME", help="Give up after this time, with exit code 124.")
@selection_options
@output_options
@pass_options
def wait(
    options: GlobalOptions,
    patterns: tuple[str, ...],
    since: int | None,
    count: int,
    timeout: float | None,
    where: str | None,
    exclude: tuple[str, ...],
    match: str | None,
    output: str | None,
    fields: str | None,
    highlight: re.Pattern[str] | None,
) -> int:
    """Wait for events that match, and show them.

    With -q it shows nothing: the exit code says it. A gap ends the waiting with exit code 1, because the event may
    have been in it.
    """
    from sylvite.cli.stream import Stop, Stream
    from sylvite.cli.tail import moment

    rendering = stdout_rendering(options, output, fields, highlight, usual="short")
    if options.quiet:
        rendering = rendering._replace(event=_nothing)
    wanted = Wanted(patterns, match, where, exclude)
    stream = Stream(rendering, "error")
    with connect(options, endless=timeout is None) as client:
        start = "newest" if since is None else moment(since)
        with stream.subscribe(client, *wanted.positional, **wanted.named, since=start) as subscription:
            code = stream.run(subscription, Stop(count=count, timeout_s=timeout))
    if code == exit_codes.TIMEOUT:
        raise WaitTimeout(f"no event that matches came within {timeout:g} s")
    return code


def _nothing(event: Event) -> bytes:
    del event
    return b""
