"""Given: the names that the loader puts into each module before it runs a function of it.

A module imports them from here for its types; what it finds when it is called are those of its own loader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from sylvite.functions.context import Bus
from sylvite.functions.jid_event import JidEvent
from sylvite.functions.loader import Loader

Function = Callable[..., Any]

__salt__: Mapping[str, Function] = {}
"""The functions of the same kind, by name: `__salt__["event.send"]`."""
__beacons__: Mapping[str, Function] = {}
__loaders__: Mapping[str, Loader] = {}
"""The functions of every kind: `module`, `runner`, `wheel`, `beacon`."""
__runners__: Mapping[str, Function] = {}
__opts__: dict[str, Any] = {}
__grains__: dict[str, Any] = {}
__pillar__: dict[str, Any] = {}
__context__: dict[str, Any] = {}
"""What functions of one process leave for each other; `retcode` in it is the exit code of the call."""
__bus__: Bus = cast("Bus", None)
__jid_event__: JidEvent = cast("JidEvent", None)
"""Events of the run of a runner: `__jid_event__.fire_event({"message": "half done"}, "progress")`."""
__reload__: Callable[[], list[str]] = list
"""Look at the files again; return the modules of the operator's own that are new or changed."""
__news__: Callable[[], list[str]] = list
"""Return the names of those since the minion has looked last; all, where there is none."""
__loaded__: Mapping[str, str] = {}
"""The file of each module that is there."""
__not_loaded__: Mapping[str, str] = {}
"""Why the others are not."""
