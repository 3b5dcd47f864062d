"""Watch events."""

# The signatures are Salt's.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

from sylvite.functions.given import __bus__, __opts__
from sylvite.functions.watching import show_events


def event(
    tagmatch: str = "*",
    count: int = -1,
    quiet: bool = False,
    sock_dir: str | None = None,
    pretty: bool = False,
    node: str | None = None,
) -> None:
    """
    Watch the bus and print what comes: tag, tab, data as JSON.

    tagmatch
        A shell pattern, or a regular expression for the whole tag.
    count
        End after so many events; -1 goes on until it is interrupted.
    quiet
        Print nothing, just wait.
    sock_dir
        The folder of another bus.
    pretty
        Data on several lines, sorted.
    node
        ``minion`` or ``master``: whose bus, where there are both. A runner
        watches that of the master, an execution function that of the minion.

    CLI Example:

        sylvite run state.event pretty=True
        sylvite run state.event 'myco/deploy/*' count=3
        sylvite call state.event 'myco/deploy/*' count=3
    """
    whose = node or __opts__.get("__role", "minion")
    show_events(__bus__, tagmatch, count, quiet=quiet, sock_dir=sock_dir, pretty=pretty, node=whose)
