"""`sylvite tail`: the last events, a stretch of history, or live."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from sylvite.cli import exit_codes
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.connect import connect
from sylvite.cli.option_types import DURATION, MOMENT, OFFSET, PLACE
from sylvite.cli.output_options import output_options, stdout_rendering
from sylvite.cli.place import Place
from sylvite.cli.selection_options import Wanted, selection_options

EXAMPLES = (
    Example("sylvite tail", "The last 10 events"),
    Example("sylvite tail -f", "The last 10, and then what comes", endless=True),
    Example("sylvite tail 'salt/job/*/ret/*' --where 'data.retcode != 0' -n 20", "The last 20 failed returns"),
    Example("sylvite tail myco/ --since 2h --exclude 'myco/noise/*'", "Two hours of everything below myco/, but noise"),
    Example("sylvite tail --since 'yesterday 18:00' --until today -o json", "A stretch of history, one JSON a line"),
    Example("sylvite tail --from @0 --until @2", "By offset"),
    Example("sylvite tail -n 5 -o 'template={time} {tag} {data.ok|?}'", "In a form of your own"),
    Example(
        "sylvite tail --from cursor:billing --count 100 -o json", "Go on where the last run with this name stopped"
    ),
    Example("sylvite tail --group billing myco/ --json", "Share the events of all masters with others", endless=True),
)
LAST = 10


class Until(click.ParamType[Place]):
    """`@OFFSET`, shown too, or a time."""

    name = "until"

    def convert(self, value: str | Place, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        if isinstance(value, Place):
            return value
        if value.startswith("@"):
            return Place("offset", OFFSET.convert(value, param, ctx))
        return Place("time", MOMENT.convert(value, param, ctx))


@command("tail", examples=EXAMPLES)
@click.argument("patterns", nargs=-1, metavar="[PATTERN ...]")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("-n", "--last", type=click.IntRange(min=0), metavar="N", help="Only the last N that match [10].")
@click.option("--since", type=MOMENT, metavar="TIME", help="From this time on: 2h, 'yesterday 18:00', RFC 3339.")
@click.option("--until", type=Until(), metavar="TIME", help="Up to this time, or @OFFSET.")
@click.option("--from", "start", type=PLACE, metavar="PLACE", help="oldest, newest, @OFFSET, time:TIME, cursor:NAME.")
@selection_options
@output_options
@click.option("--count", type=click.IntRange(min=0), metavar="N", help="Stop after N events.")
@click.option("--group", metavar="NAME", help="Share the events of all masters with the others that read as NAME.")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --group: the file of the master [/etc/sylvite/master].",
)
@click.option("--timeout", type=DURATION, metavar="TIME", help="Stop after this time, with exit code 124.")
@click.option(
    "--gaps", type=click.Choice(["error", "show", "hide"]), default="show", metavar="HOW",
    help="error, show or hide events that are missing [show].",
)  # fmt: skip
@pass_options
def tail(
    options: GlobalOptions,
    patterns: tuple[str, ...],
    *,
    follow: bool,
    last: int | None,
    since: int | None,
    until: Place | None,
    start: Place | None,
    where: str | None,
    exclude: tuple[str, ...],
    match: str | None,
    output: str | None,
    fields: str | None,
    highlight: re.Pattern[str] | None,
    count: int | None,
    group: str | None,
    config: Path | None,
    timeout: float | None,
    gaps: str,
) -> int:
    """Show events: the last ones, a stretch of history, or live.

    A PATTERN is the beginning of a tag, or with * ? [ a shell pattern for all of it; several are alternatives. Without
    -f it ends with the last event there is. Where events are missing, a line says which and why.

    --from cursor:NAME goes on where the last run with that NAME stopped (the first one: at the oldest event), and
    remembers what it has written out.

    --group NAME reads what happens on all masters of the cluster, for ever, and shares it with whoever reads as NAME on any of them:
    each event goes to one, and to another one if that one dies before it is written out. A new group begins at the oldest event,
    or with --from newest at what comes.
    """
    rendering = stdout_rendering(options, output, fields, highlight, usual="short")
    wanted = Wanted(patterns, match, where, exclude)
    if group is None and config is not None:
        raise click.UsageError("--config goes with --group: it says which cluster")
    if group is not None:
        if any(given is not None for given in (last, since, until, count)) or not _is_end(start):
            raise click.UsageError(
                "--group goes on where the group is: of -n, --since, --until, --count and --from only --from newest"
            )
        from sylvite.cli.tail_group import read_group

        newest = start is not None and start.at == "newest"
        return read_group(group, config, rendering, wanted, newest=newest, timeout_s=timeout, gaps=gaps)
    from sylvite.cli.stream import Stop, Stream

    if since is not None and start is not None:
        raise click.UsageError("--since and --from both say where to start: give one of them")
    if start is not None and start.at == "cursor" and last is not None:
        raise click.UsageError("a cursor says where to start: leave -n out")
    if last is None and since is None and start is None and until is None:
        last = LAST if count is None else (0 if follow else count)
    stream = Stream(rendering, gaps)
    until_ns = until.value if until is not None and until.at == "time" else None
    until_end = until.value + 1 if until is not None and until.at == "offset" else None
    try:
        with connect(options, endless=follow) as client:
            where_from = _since(since, start)
            if last is not None and last > 0:
                from sylvite.cli.lookback import find_last

                end = client.welcome.end if until_end is None else min(until_end, client.welcome.end)
                floor = start.value if start is not None and start.at == "offset" else 0
                after_ns = since if since is not None else (start.value if start and start.at == "time" else None)
                where_from = {"since": find_last(
                    client, wanted, last, end=end, floor=floor, since_ns=after_ns, until_ns=until_ns
                )}  # fmt: skip
                until_end = until_end if follow or until_end is not None else end
            elif last == 0:
                where_from = {"since": client.welcome.end}
            stop = Stop(count=count, end=until_end, until_ns=until_ns, timeout_s=timeout)
            with stream.subscribe(
                client, *wanted.positional, **wanted.named, **where_from, until_end=not follow
            ) as subscription:
                return stream.run(subscription, stop, acknowledge=start is not None and start.at == "cursor")
    except KeyboardInterrupt:
        if follow and count is None:
            return exit_codes.DONE  # There is no other end to wait for.
        raise


def _is_end(start: Place | None) -> bool:
    return start is None or start.at in ("oldest", "newest")


def _since(since: int | None, start: Place | None) -> dict[str, Any]:
    """Return the arguments of `subscribe` that say where to start."""
    if since is not None:
        return {"since": moment(since)}
    if start is None:
        return {"since": "oldest"}
    match start.at:
        case "offset":
            return {"since": start.value}
        case "time":
            return {"since": moment(start.value)}
        case "cursor":
            return {"cursor": start.name, "ack": "manual", "since": "oldest"}
        case _:
            return {"since": start.at}


def moment(stamp_ns: int) -> datetime:
    # Microseconds, rounded down: an event too many rather than one too few.
    return datetime.fromtimestamp(stamp_ns // 1_000_000_000, UTC).replace(microsecond=stamp_ns // 1000 % 1_000_000)
