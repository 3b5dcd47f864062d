"""Call other functions from a runner: execution functions on minions, or here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sylvite.errors import InvalidInput
from sylvite.functions import master
from sylvite.functions.given import __bus__, __loaders__, __opts__


def cmd(fun: str, *args: Any, **kwargs: Any) -> Any:
    """
    Call an execution function in the process of this runner.

    CLI Example:

        sylvite run salt.cmd test.ping
        sylvite run salt.cmd test.arg 1 'two' name=value
    """
    functions = __loaders__["module"]
    if fun not in functions:
        raise InvalidInput(f"'{fun}' is not available.")
    given = {name: value for name, value in kwargs.items() if not name.startswith("__pub_")}
    return functions[fun](*args, **given)


def execute(
    tgt: str | Sequence[str],
    fun: str,
    arg: Sequence[Any] = (),
    timeout: float | None = None,
    tgt_type: str = "glob",
    ret: str = "",
    jid: str = "",
    kwarg: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Run a function on minions, and return what each returned; False for one that did not answer.

    tgt, tgt_type
        Which minions.
    fun, arg, kwarg
        The function and its arguments; more of them by name.
    timeout
        Seconds without news until it is asked whether they still work on it.

    CLI Example:

        sylvite run salt.execute 'web*' test.ping
        sylvite run salt.execute web1 test.arg '[1, two]' name=value
    """
    named = {**(kwarg or {}), **{name: value for name, value in kwargs.items() if not name.startswith("__pub_")}}
    with master.local_client(__opts__, __bus__) as client:
        return client.cmd(
            tgt, fun, list(arg), timeout_s=timeout, tgt_type=tgt_type, ret=ret, jid=jid, kwarg=named or None
        )
