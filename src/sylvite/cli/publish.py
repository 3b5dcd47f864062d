"""`sylvite publish`: one event, or one for each line of input."""

from __future__ import annotations

import sys
from typing import Any

import click

from sylvite.cli import exit_codes
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.connect import connect
from sylvite.cli.option_types import DURATION, OFFSET
from sylvite.cli.output import write_json
from sylvite.cli.values import parse_assignment, parse_data
from sylvite.core.level import Level
from sylvite.errors import InvalidData

EXAMPLES = (
    Example(
        "sylvite publish myco/deploy/done version=1.4.2 ok=True hosts='[web1, web2]'", "Values by name, as in Salt"
    ),
    Example("""sylvite publish myco/deploy/done '{"version": "1.4.2", "ok": true}'""", "A map in JSON or YAML"),
    Example("echo '{disk: /var, free: 0.04}' | sylvite publish myco/disk/low --file -", "Data from a file or stdin"),
    Example("printf 'one\\ntwo\\n' | sylvite publish myco/lines --lines", "Each line of text an event"),
    Example(
        """printf 'myco/a\\t{"n": 1}\\nmyco/b\\t{"n": 2}\\n' | sylvite publish --lines""",
        'Each line with its own tag; {"tag": …, "data": {…}} works too',
    ),
    Example("sylvite publish myco/tick n=1 --ack written", "Do not wait for the disk: power loss may take the event"),
)
DATA_BYTES_MAX = 16 * 1024 * 1024
"""Of a file for one event: as JSON or YAML it may be longer than the event is."""
LEVELS = ("none", "written", "synced", "replicated")


@command("publish", examples=EXAMPLES)
@click.argument("tag", required=False)
@click.argument("data", nargs=-1, metavar="[DATA] [NAME=VALUE ...]")
@click.option(
    "--file", "file", metavar="FILE", help="Take the data, or with --lines the lines, from there; - is stdin."
)
@click.option("--lines", is_flag=True, help="Publish each line of input.")
@click.option(
    "--ack", type=click.Choice(LEVELS), metavar="LEVEL", help="none, written, synced, replicated [as the policy says]."
)
@click.option("--wait", "wait_s", type=DURATION, default=10.0, metavar="TIME", help="For the answer, at most [10s].")
@click.option("--cause", type=OFFSET, metavar="@OFFSET", help="The event that this one answers.")
@pass_options
def publish(
    options: GlobalOptions,
    tag: str | None,
    data: tuple[str, ...],
    file: str | None,
    *,
    lines: bool,
    ack: str | None,
    wait_s: float,
    cause: int | None,
) -> int:
    """Publish an event, or one for each line of input.

    Prints the offset of the event once it is as safe as --ack asks: written (survives the broker), synced (survives
    power loss) or replicated (most servers of the cluster have it). A time-out (exit code 124) says nothing: the event
    may be in the log.

    DATA is a map in JSON or YAML. NAME=VALUE adds to it; a VALUE is read as Salt does it: numbers, true, null,
    [lists] and {maps}, anything else is text.
    """
    level = Level.named(ack) if ack is not None else None
    if lines:
        if data:
            raise click.UsageError("with --lines the data comes from the lines: leave DATA and NAME=VALUE out")
        if cause is not None:
            raise click.UsageError("--cause is for one event: leave it out with --lines")
        from sylvite.cli.publish_lines import publish_lines

        return publish_lines(options, tag, file or "-", level=level, timeout_s=wait_s)
    if tag is None:
        raise click.UsageError("Missing argument 'TAG'; or --lines, where each line may name its own")
    content = _data(data, file)
    with connect(options, timeout_s=wait_s) as client:
        published = client.publish(tag, content, level=level, cause=cause, timeout_s=wait_s)
    if options.json:
        reached = published.level.name.lower()
        offset = published.offset if published.offset >= 0 else None
        write_json({"offset": offset, "epoch": f"{published.epoch:016x}", "level": reached})
    elif published.offset >= 0 and not options.quiet:
        sys.stdout.write(f"@{published.offset}\n")
    return exit_codes.DONE


def _data(arguments: tuple[str, ...], file: str | None) -> dict[str, Any]:
    content: dict[str, Any] = {}
    named: dict[str, Any] = {}
    whole = 0
    for argument in arguments:
        assignment = parse_assignment(argument)
        if assignment is not None:
            named[assignment[0]] = assignment[1]
            continue
        whole += 1
        if whole > 1 or file is not None:
            raise InvalidData(f"{_shorten(argument)!r} is one DATA too many: there is one map, and NAME=VALUE after it")
        content = parse_data(argument, "DATA")
    if file is not None:
        content = parse_data(read_file(file), "stdin" if file == "-" else file)
    return content | named


def read_file(name: str) -> bytes:
    """Return what is in a file, or came on stdin for `-`.

    Raises:
        InvalidData: more than DATA_BYTES_MAX.
        OSError: it cannot be read.
    """
    if name == "-":
        content = sys.stdin.buffer.read(DATA_BYTES_MAX + 1)
    else:
        with open(name, "rb") as opened:
            content = opened.read(DATA_BYTES_MAX + 1)
    if len(content) > DATA_BYTES_MAX:
        raise InvalidData(
            f"{name} has more than {DATA_BYTES_MAX} bytes, too many for one event; --lines publishes lines"
        )
    return content


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
