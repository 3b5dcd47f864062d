"""Fire events."""

from __future__ import annotations

from typing import Any

from sylvite.errors import SylviteError
from sylvite.functions.given import __bus__


def send(tag: str, data: dict[str, Any] | None = None) -> bool:
    """
    Send an event with the given tag and data. Nothing is put before the tag.

    tag
        The tag of the event.
    data
        A map; without it, an empty one.

    CLI Example:

        sylvite run event.send my/custom/event '{"foo": "bar"}'
    """
    content = {} if data is None else data
    if not isinstance(content, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - it comes from a command line
        raise ValueError(f"Dict object expected, not '{content}'.")  # noqa: TRY004 - Salt's
    try:
        __bus__.fire(tag, content)
    except SylviteError as error:
        raise RuntimeError(str(error)) from error
    return True
