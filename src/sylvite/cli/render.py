"""Render: an event as a line, in one of the formats of `-o`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from sylvite.cli import color
from sylvite.cli.color import Painter
from sylvite.cli.summary import summarize
from sylvite.cli.template import MISSING, encode_json, field, local_time, parse_template, printable, show
from sylvite.core.event import Event, Gap
from sylvite.errors import InvalidInput

FORMATS = ("short", "full", "json", "tag", "salt")
TEMPLATE = "template="
NANOSECONDS = 1_000_000_000
_controls_in_json = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Rendering(NamedTuple):
    """Lines, their ends included.  `gap_in_line`: a gap is shown among the events, else beside them, on stderr."""

    event: Callable[[Event], bytes]
    gap: Callable[[Gap], bytes]
    gap_in_line: bool


class Look(NamedTuple):
    """How lines look.  `width`: of the terminal, None where the output is none; `today`: the local day."""

    painter: Painter
    width: int | None = None
    today: str = ""
    highlight: re.Pattern[str] | None = None


def check_format(text: str) -> str:
    """Raises InvalidInput: there is no such format."""
    if text.startswith(TEMPLATE):
        parse_template(text.removeprefix(TEMPLATE))
    elif text not in FORMATS:
        raise InvalidInput(
            f"{text!r} is not a format; there are {', '.join(FORMATS)} and template='{{tag}} {{data.id}}'"
        )
    return text


def rendering(format_: str, look: Look, fields: Sequence[str] = ()) -> Rendering:
    """Return what renders in this format; `fields`: show only these.

    Raises:
        InvalidInput: no such format, or a field that cannot be.
    """
    check_format(format_)
    if format_ == "json":
        return Rendering(_json(fields, on_terminal=look.width is not None), _json_gap, gap_in_line=True)
    if format_ == "short":
        return Rendering(_Short(look, fields).line, _text_gap(look.painter), gap_in_line=True)
    if format_ == "full":
        return Rendering(_full(look, fields), _text_gap(look.painter), gap_in_line=True)
    if format_ == "tag":
        return Rendering(_marked(look, lambda event: event.tag), _text_gap(look.painter), gap_in_line=False)
    if format_ == "salt":
        return Rendering(_salt, _text_gap(look.painter), gap_in_line=False)
    fill = parse_template(format_.removeprefix(TEMPLATE))
    return Rendering(_marked(look, fill), _text_gap(look.painter), gap_in_line=False)


def _text_gap(painter: Painter) -> Callable[[Gap], bytes]:
    def line(gap: Gap) -> bytes:
        return f"{painter.paint(f'-- {printable(str(gap))}', color.YELLOW)}\n".encode()

    return line


def _json_gap(gap: Gap) -> bytes:
    return msgspec.json.encode({"gap": gap}) + b"\n"


def _json(fields: Sequence[str], *, on_terminal: bool) -> Callable[[Event], bytes]:
    getters = [(name, field(name)) for name in fields]

    def line(event: Event) -> bytes:
        return encode_json(event.envelope()) + b"\n"

    def some(event: Event) -> bytes:
        found = {name: get(event) for name, get in getters}
        return encode_json({name: value for name, value in found.items() if value is not MISSING}) + b"\n"

    chosen = some if getters else line
    if not on_terminal:
        return chosen

    def safe(event: Event) -> bytes:
        text = chosen(event).decode()
        return _controls_in_json.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()

    return safe


def _salt(event: Event) -> bytes:
    """As `salt-run state.event` prints: tag, tab, JSON with spaces behind `,` and `:`."""
    return b"%s\t%s\n" % (event.tag.encode(), msgspec.json.format(encode_json(event.data), indent=0))


def _marked(look: Look, text_of: Callable[[Event], str]) -> Callable[[Event], bytes]:
    mark = _marker(look)
    return lambda event: mark(text_of(event)).encode() + b"\n"


def _marker(look: Look) -> Callable[[str], str]:
    pattern, painter = look.highlight, look.painter
    if pattern is None or not painter.enabled:
        return lambda text: text
    return lambda text: pattern.sub(lambda found: painter.paint(found[0], color.MARK) if found[0] else "", text)


class _Short:
    """`22:47:31.012  @184467  tag  summary`; with the date where it is not today's."""

    def __init__(self, look: Look, fields: Sequence[str]) -> None:
        self._look = look
        self._painter = look.painter
        self._mark = _marker(look)
        self._getters = [(name, field(name)) for name in fields]
        self._second, self._prefix = -1, ""

    def line(self, event: Event) -> bytes:
        second, rest_ns = divmod(event.origin.stamp_ns, NANOSECONDS)
        if second != self._second:
            self._second, self._prefix = second, self._time_of(second)
        time = f"{self._prefix}.{rest_ns // 1_000_000:03d}"
        offset, tag, summary = f"@{event.offset}", event.tag, self._summary(event)
        painter = self._painter
        if self._look.width is not None:
            # At least the beginning of it, on the narrowest terminal.
            room = max(20, self._look.width - len(time) - len(offset) - len(tag) - 6)
            if len(summary) > room:
                summary = summary[: room - 1] + "…"
        if not painter.enabled:
            return f"{time}  {offset}  {tag}  {summary}".rstrip().encode() + b"\n"
        shown_tag = self._mark(tag) if self._look.highlight and self._look.highlight.search(tag) else painter.tag(tag)
        line = f"{painter.paint(time, color.DIM)}  {painter.paint(offset, color.CYAN)}  {shown_tag}"
        return f"{line}  {self._mark(summary)}\n".encode()

    def _time_of(self, second: int) -> str:
        moment = datetime.fromtimestamp(second, UTC).astimezone()
        day = f"{moment:%Y-%m-%d}"
        return f"{moment:%H:%M:%S}" if day == self._look.today else f"{day} {moment:%H:%M:%S}"

    def _summary(self, event: Event) -> str:
        if not self._getters:
            return summarize(event.data)
        found = [(name, get(event)) for name, get in self._getters]
        return " ".join(f"{name}={show(value)}" for name, value in found if value is not MISSING)


def _full(look: Look, fields: Sequence[str]) -> Callable[[Event], bytes]:
    getters = [(name, field(name)) for name in fields]
    painter, mark = look.painter, _marker(look)

    def block(event: Event) -> bytes:
        lines = [f"{painter.paint(f'@{event.offset}', color.CYAN)}  {painter.tag(event.tag)}"]
        facts = [("time", f"{local_time(event.stamp_ns)}  ({event.stamp})"), ("sender", event.sender)]
        facts.append(("source", f"{event.origin.source_epoch:016x}/{event.source_seq}"))
        facts.append(("epoch", f"{event.epoch:016x}"))
        if event.cause is not None:
            facts.append(("cause", f"@{event.cause} (hop {event.hop})"))
        if getters:
            found = [(name, get(event)) for name, get in getters]
            facts = [(name, show(value)) for name, value in found if value is not MISSING]
        width = max((len(name) for name, _ in facts), default=0)
        lines += [f"  {painter.paint(name.ljust(width), color.DIM)}  {mark(printable(value))}" for name, value in facts]
        if not getters:
            pretty = msgspec.json.format(encode_json(event.data), indent=2).decode()
            lines += [f"  {mark(printable(line))}" for line in pretty.splitlines()]
        return ("\n".join(lines) + "\n\n").encode()

    return block
