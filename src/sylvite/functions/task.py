"""Task: one run of a runner, or of a wheel function, announced on the bus before and after.

salt/run/<jid>/new      fun, jid, user, fun_args
salt/run/<jid>/ret      the same, and return, success; retcode where it failed
salt/wheel/<jid>/…      of a wheel function
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

from sylvite.functions.arguments import Arguments
from sylvite.functions.data import plain
from sylvite.functions.errors import FunctionFailed, FunctionNotAvailable, InvalidArguments
from sylvite.functions.execute import RETCODE, Outcome, call_function, outcome_of
from sylvite.functions.jid_event import Shown
from sylvite.functions.library import Library
from sylvite.functions.module import Function
from sylvite.functions.orchestration import holds
from sylvite.functions.returning import fire_return, shown

NOT_AVAILABLE = 254
HIDDEN = "***"
"""What the bus is told of a return that is a secret."""


class Kind(NamedTuple):
    """`word`: stands before names of functions in events, and is what messages say.  `tag`: begins those of its events."""

    word: str
    tag: str


RUNNER = Kind("runner", "salt/run")
WHEEL = Kind("wheel", "salt/wheel")
KINDS = {kind.word: kind for kind in (RUNNER, WHEEL)}


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked for.  `user`: who asks."""

    kind: Kind
    name: str
    arguments: Arguments
    jid: str
    user: str

    @property
    def base(self) -> str:
        """The beginning of the tags of its events."""
        return f"{self.kind.tag}/{self.jid}"

    @property
    def ticket(self) -> dict[str, str]:
        """What one needs to wait for it."""
        return {"tag": self.base, "jid": self.jid}

    @property
    def about(self) -> dict[str, Any]:
        """The fields that all of its events have."""
        fun = f"{self.kind.word}.{self.name}"
        return {"fun": fun, "jid": self.jid, "user": self.user, "fun_args": self.arguments.shown()}

    def told(self, outcome: Outcome) -> dict[str, Any]:
        """Return what its last event says."""
        return {**self.about, "return": outcome.value, "success": outcome.success}


def run_task(library: Library, task: Task, watch: Shown | None = None) -> Outcome:
    """Run it, and fire what is to be fired.  `watch` sees the events that the function fires of its own run.

    Raises:
        FunctionNotAvailable, InvalidArguments, FunctionFailed: after `ret` has told it.
        SylviteError: there is no bus to tell it; before `new`, nothing was run.
    """
    bus, name, word = library.context.bus, task.name, task.kind.word
    about = task.about
    try:
        function = library.loaders[word].find(name)
    except FunctionNotAvailable as error:
        said = {**about, "fun": name, "fun_args": shown(about["fun_args"])}
        bus.fire(f"{task.base}/ret", {**said, "return": str(error), "success": False, "retcode": NOT_AVAILABLE})
        raise
    bus.fire(f"{task.base}/new", plain(about))
    library.jid_event.begin(task.base, watch)
    library.state.pop(RETCODE, None)
    returned: dict[str, Any] = {}
    try:
        value = call_function(name, function, task.arguments)
        outcome = _judged(outcome_of(library, value))
        returned = {"return": HIDDEN if _is_secret(name, function) else value, "success": outcome.success}
    except InvalidArguments as error:
        returned = _failed(f"Passed invalid arguments: {error}\n\nUsage:\n{error.usage}")
        raise
    except FunctionFailed as error:
        told = "".join(traceback.format_exception(error.__cause__ or error))
        returned = _failed(f"Exception occurred in {word} {name}: {told}")
        raise
    except BaseException as error:  # Ctrl-C: whoever waits for this run has to hear of its end.
        returned = _failed(f"Exception occurred in {word} {name}: {type(error).__name__}")
        raise
    finally:
        library.jid_event.begin(None)
        # Once more: what the function did to its arguments shows in `ret`, as it does in Salt.
        fire_return(bus, f"{task.base}/ret", {**about, "fun_args": shown(task.arguments.shown()), **returned})
    return outcome


def _judged(outcome: Outcome) -> Outcome:
    """Return what came of a run: where it returns `data` of steps, these say whether it has succeeded."""
    value: object = outcome.value
    if isinstance(value, dict) and "data" in value:
        return replace(outcome, success=holds(cast("dict[str, Any]", value)["data"]))
    return outcome


def _is_secret(name: str, function: Function) -> bool:
    """Say whether the module names the function in `__secret__`: what it returns is for who calls it, and not for the log."""
    return name.partition(".")[2] in getattr(function, "__globals__", {}).get("__secret__", ())


def _failed(text: str) -> dict[str, Any]:
    return {"return": text, "success": False, "retcode": 1}
