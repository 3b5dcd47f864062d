"""`sylvite wheel`: run a wheel function, and tell the bus of it."""

from __future__ import annotations

from sylvite.cli.call_runner import Call, run_kind, task_options
from sylvite.cli.command import Example, GlobalOptions, command

EXAMPLES = (
    Example("sylvite wheel key.list_all", "Which keys there are"),
    Example("sylvite wheel key.accept 'web*'", "Let minions in"),
    Example("sylvite wheel minions.connected", "Who is connected"),
    Example("sylvite wheel -d key.accept", "What a function says of itself"),
)


@command("wheel", examples=EXAMPLES)
@task_options
def wheel(options: GlobalOptions, call: Call) -> int:
    """Run a wheel function in this process: it looks after the keys and minions of a master.

    The bus is told: `salt/wheel/JID/new` before it, `salt/wheel/JID/ret` with what it returned behind it. The rest is
    as in `sylvite run`. What `sylvite keys` does, it does without events of its own and with a question before it.
    """
    from sylvite.functions.clients import WheelClient

    return run_kind(options, call, WheelClient, {"wheel_dirs": call.module_dirs})
