"""`sylvite publish --lines`: many events over one connection, sent while the input still comes."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator

from sylvite.cli import exit_codes
from sylvite.cli.amounts import show_number_of
from sylvite.cli.command import GlobalOptions
from sylvite.cli.connect import connect
from sylvite.cli.output import write_json
from sylvite.cli.values import parse_line
from sylvite.core.level import Level
from sylvite.errors import InvalidInput, SylviteError

READ_BYTES = 64 * 1024
LINE_BYTES_MAX = 16 * 1024 * 1024


class BadLine(InvalidInput):
    """A line that is no event; those before it are published."""

    code = "bad_line"

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"line {number}: {reason}")
        self.line, self.reason = number, reason


def publish_lines(options: GlobalOptions, tag: str | None, file: str, *, level: Level | None, timeout_s: float) -> int:
    """Publish the lines of `file` (`-`: stdin), and say how many were acknowledged.

    Raises:
        BadLine: one that is no event; everything before it is acknowledged, and nothing behind it published.
        SylviteError: what the broker refused; how many were acknowledged is said before.
        OSError: the input cannot be read.
    """
    source = 0 if file == "-" else os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    bad: BadLine | None = None
    with connect(options, timeout_s=timeout_s) as client:
        publisher = client.publisher(level=level, timeout_s=timeout_s)
        number = 0
        try:
            with publisher:
                for lines in _read(source):
                    if lines is None:
                        # The input has paused: what is here goes out, however little it is.
                        publisher.flush()
                        continue
                    for line in lines:
                        number += 1
                        if not line.strip():
                            continue
                        refused = publisher.refused
                        try:
                            name, data = parse_line(line, tag)
                            publisher.publish(name, data)
                        except InvalidInput as error:
                            if publisher.refused > refused:
                                raise  # It is the broker's answer to earlier lines.
                            bad = BadLine(number, str(error))
                            break
                    if bad is not None:
                        break
                publisher.flush()
        except SylviteError:
            _say(options, publisher.acknowledged)
            raise
    _say(options, publisher.acknowledged)
    if bad is not None:
        raise bad
    return exit_codes.DONE


def _read(source: int) -> Iterator[list[bytes] | None]:
    """Yield the whole lines that have come, and None whenever there is nothing more for the moment."""
    rest = b""
    while piece := os.read(source, READ_BYTES):
        *lines, rest = (rest + piece).split(b"\n")
        if lines:
            yield lines
        elif len(rest) > LINE_BYTES_MAX:
            break  # One line without an end: the publisher says that it is too big.
        if not select.select([source], [], [], 0)[0]:
            yield None
    if rest:
        yield [rest]


def _say(options: GlobalOptions, acknowledged: int) -> None:
    if options.json:
        write_json({"published": acknowledged})
    elif not options.quiet:
        sys.stdout.write(f"{show_number_of(acknowledged, 'event')}\n")
        sys.stdout.flush()
