"""Option types: durations, sizes, moments, offsets and addresses, as people write them."""

from __future__ import annotations

import click

from sylvite.cli.place import Place, parse_moment_ns, parse_place
from sylvite.errors import InvalidInput


class Duration(click.ParamType[float]):
    """`90s`, `5m`, `2h`, `30d` or plain seconds; float seconds."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        from sylvite.core.duration import parse_duration_s

        try:
            return parse_duration_s(value)
        except InvalidInput:
            self.fail(f"{value!r} is not a duration; write 90s, 5m, 2h, 30d or plain seconds", param, ctx)


class Size(click.ParamType[int]):
    """`64MiB`, `1GB` or plain bytes; int bytes."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        from sylvite.core.duration import parse_bytes

        try:
            return parse_bytes(value)
        except InvalidInput:
            self.fail(f"{value!r} is not a size; write 64MiB, 50GiB or plain bytes", param, ctx)


class OffsetType(click.ParamType[int]):
    """`@184467` or `184467`; int."""

    name = "offset"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        digits = value.removeprefix("@")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
            self.fail(f"{value!r} is not an offset; write @184467", param, ctx)
        return int(digits)


class Address(click.ParamType[tuple[str, int]]):
    """`[HOST:]PORT`; host and port.  The host is the local one if none is given."""

    name = "address"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if not isinstance(value, str):
            return value
        host, _, port = value.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
            self.fail(f"{value!r} is not an address; write PORT or HOST:PORT, with port 0 for any free one", param, ctx)
        return host or "127.0.0.1", int(port)


class Mode(click.ParamType[int]):
    """`0660`; int."""

    name = "mode"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if not value or set(value) - set("01234567") or int(value, 8) > 0o777:
            self.fail(f"{value!r} is not a file mode; write 0600, 0660 or 0666", param, ctx)
        return int(value, 8)


class Moment(click.ParamType[int]):
    """`2h`, `yesterday 18:00`, RFC 3339: see core/duration.py; int ns since 1970, UTC."""

    name = "time"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_moment_ns(value)
        except (InvalidInput, OverflowError):
            options = [] if ctx is None else [name for each in ctx.command.params for name in each.opts]
            if "--from" in options and value.startswith(("oldest", "newest", "@")):
                self.fail(f"{value!r} is a place in the log, not a time; write --from {value}", param, ctx)
            self.fail(
                f"{value!r} is not a time; write 2h, 'yesterday 18:00', '2026-11-23 22:00' or RFC 3339", param, ctx
            )


class PlaceType(click.ParamType[Place]):
    """`oldest`, `@184467`, `time:2h`, `cursor:billing`: see place.py."""

    name = "place"

    def convert(self, value: str | Place, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        if isinstance(value, Place):
            return value
        try:
            return parse_place(value)
        except (InvalidInput, OverflowError) as error:
            self.fail(str(error), param, ctx)


DURATION, SIZE, OFFSET = Duration(), Size(), OffsetType()
ADDRESS, MODE, MOMENT, PLACE = Address(), Mode(), Moment(), PlaceType()
