"""Fire events: onto the bus of this node, or up to the master."""

# The signatures are Salt's.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

from sylvite.errors import SylviteError
from sylvite.functions.given import __bus__, __grains__, __opts__, __pillar__
from sylvite.functions.opts import has_master

logger = logging.getLogger("sylvite.functions")


def fire(data: dict[str, Any], tag: str) -> bool:
    """
    Fire an event on the bus of this node. Data must be a map.

    True when the event is as safe there as the broker's policy wants; False
    when it was not fired.

    CLI Example:

        sylvite call event.fire '{"data": "message to be sent in the event"}' tag
    """
    if not isinstance(data, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - it comes from a command line
        logger.debug("event.fire: data must be a map, not %s", type(data).__name__)
        return False
    try:
        __bus__.fire(tag, data)
    except SylviteError as error:
        logger.warning("event.fire: %s", error)
        return False
    return True


def fire_master(data: Any, tag: str, preload: Mapping[str, Any] | None = None) -> bool:
    """
    Fire an event that goes up to the master. Data may be text as well.

    True when it cannot be lost any more on its way there. Without a master it
    is not sent, and the answer is False.

    CLI Example:

        sylvite call event.fire_master '{"data": "my event data"}' tag
    """
    if not has_master(__opts__):
        logger.warning("Local mode detected. Event with tag %s will NOT be sent.", tag)
        return False
    try:
        # What a call sends itself, and what has a preload, bears no `pretag`.
        is_direct = bool(preload) or __opts__.get("__cli") == "salt-call"
        __bus__.fire_master(tag, data, (preload or {}) if is_direct else None)
    except SylviteError as error:
        logger.warning("event.fire_master: %s", error)
        return False
    return True


def send(
    tag: str,
    data: Any = None,
    preload: Mapping[str, Any] | None = None,
    with_env: bool | list[str] = False,
    with_grains: bool | list[str] = False,
    with_pillar: bool | list[str] = False,
    with_env_opts: bool = False,
    **kwargs: Any,
) -> bool:
    """
    Send an event to the master; without one, fire it on the bus of this node.

    tag
        The tag of the event. Nothing is put before it.
    data
        A map. What it holds wins over everything else.
    preload
        More keys for the envelope that the master fires around the data.
    with_env, with_grains, with_pillar
        True puts all of it into the data, under ``environ``, ``grains`` and
        ``pillar``; a list of names puts those there that exist.
    with_env_opts
        Put ``saltenv`` and ``pillarenv`` into the data.
    kwargs
        Each name=value is put into the data.

    CLI Example:

        sylvite call event.send myco/mytag foo=Foo bar=Bar
        sylvite call event.send 'myco/mytag' '{foo: Foo, bar: Bar}'
        sylvite call event.send myco/mytag with_grains='[os, id]'
    """
    content: dict[str, Any] = {}
    for name, wanted, known in (
        ("environ", with_env, os.environ), ("grains", with_grains, __grains__), ("pillar", with_pillar, __pillar__)
    ):  # fmt: skip
        if wanted:
            content[name] = _chosen(wanted, known)
    if with_env_opts:
        content["saltenv"] = __opts__.get("saltenv") or "base"
        content["pillarenv"] = __opts__.get("pillarenv")
    content.update(kwargs)
    if isinstance(data, Mapping):
        content.update(data)  # pyright: ignore[reportUnknownArgumentType] - it comes from a command line
    if not has_master(__opts__):
        return fire(content, tag)
    return fire_master(content, tag, preload)


def _chosen(wanted: bool | Iterable[str], known: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(wanted, bool):
        return dict(known)
    names = [wanted] if isinstance(wanted, str) else wanted
    return {name: known[name] for name in names if name in known}
