"""Runner: one run of a runner function, announced on the bus before and after.

salt/run/<jid>/new    fun, jid, user, fun_args
salt/run/<jid>/ret    the same, and return, success; retcode where it failed
"""

from __future__ import annotations

import os
import pwd
import traceback
from typing import Any

from sylvite.errors import EventTooBig, InvalidData
from sylvite.functions.arguments import Arguments
from sylvite.functions.data import plain
from sylvite.functions.errors import FunctionFailed, FunctionNotAvailable, InvalidArguments
from sylvite.functions.execute import RETCODE, Outcome, call_function, outcome_of
from sylvite.functions.jid_event import Shown
from sylvite.functions.library import Library

NOT_AVAILABLE = 254


def run_runner(
    library: Library,
    name: str,
    arguments: Arguments,
    *,
    jid: str,
    user: str,
    shown: Shown | None = None,
) -> Outcome:
    """Run it, and fire what is to be fired.  `shown` sees the events that the runner fires of its own run.

    Raises:
        FunctionNotAvailable, InvalidArguments, FunctionFailed: after `ret` has told it.
        SylviteError: there is no bus to tell it; before `new`, nothing was run.
    """
    base = f"salt/run/{jid}"
    bus = library.context.bus
    try:
        function = library.runners.find(name)
    except FunctionNotAvailable as error:
        said = {"fun": name, "jid": jid, "user": user, "fun_args": plain(arguments.shown())}
        bus.fire(f"{base}/ret", {**said, "return": str(error), "success": False, "retcode": NOT_AVAILABLE})
        raise
    about = {"fun": f"runner.{name}", "jid": jid, "user": user, "fun_args": arguments.shown()}
    bus.fire(f"{base}/new", plain(about))
    library.jid_event.begin(base, shown)
    library.state.pop(RETCODE, None)
    returned: dict[str, Any] = {}
    try:
        value = call_function(name, function, arguments)
        outcome = outcome_of(library, value)
        returned = {"return": _shown(value), "success": outcome.success}
    except InvalidArguments as error:
        returned = _failed(f"Passed invalid arguments: {error}\n\nUsage:\n{error.usage}")
        raise
    except FunctionFailed as error:
        cause = error.__cause__ or error
        told = "".join(traceback.format_exception(cause))
        returned = _failed(f"Exception occurred in runner {name}: {told}")
        raise
    except BaseException as error:  # Ctrl-C: whoever waits for this run has to hear of its end.
        returned = _failed(f"Exception occurred in runner {name}: {type(error).__name__}")
        raise
    finally:
        library.jid_event.begin(None)
        # Once more: what the function did to its arguments shows in `ret`, as it does in Salt.
        _fire_return(library, f"{base}/ret", {**about, "fun_args": _shown(arguments.shown()), **returned})
    return outcome


def _fire_return(library: Library, tag: str, about: dict[str, Any]) -> None:
    try:
        library.context.bus.fire(tag, plain(about))
    except EventTooBig:
        # The word that Salt puts in the place of what does not fit into an event.
        library.context.bus.fire(tag, plain({**about, "return": "VALUE_TRIMMED"}))


def _failed(text: str) -> dict[str, Any]:
    return {"return": text, "success": False, "retcode": 1}


def _shown(value: Any) -> Any:
    try:
        return plain(value)
    except InvalidData:
        return repr(value)  # That it cannot travel must not undo that it succeeded.


def calling_user() -> str:
    """Return who runs this, as Salt names him: `sudo_alice` for one who became root by sudo."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    sudo = os.environ.get("SUDO_USER")
    return f"sudo_{sudo}" if user == "root" and sudo and sudo != "root" else user
