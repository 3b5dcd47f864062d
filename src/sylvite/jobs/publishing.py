"""Publishing: from what somebody wants to be run to the two events that make it a job.  No I/O.

    salt/job/<jid>/new        jid, tgt_type, tgt, user, fun, arg, minions (expected), missing (named, and not there)
    salt/job/<jid>/publish    what the minions get: fun, arg, tgt, jid, ret, tgt_type, user, and what is optional

Both leave in one piece, so that there is no job without minions that expect it.  Source: spec/salt-events.md 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict, cast

import msgspec

from sylvite.errors import InvalidInput
from sylvite.jobs.targets import DELIMITER, Target, parse_target

KEYWORD_MARK = "__kwarg__"
"""Marks the map at the end of `arg` that holds the keywords."""
FUNCTIONS_MAX = 1000
Targeted = str | Sequence[str]
Functions = str | Sequence[str]


class JobOptions(TypedDict, total=False):
    """What a job may say beside its target, function and arguments; the names are Salt's.

    `tgt_type`: docs/targets.md.  `kwarg`: arguments by name.  `metadata`: kept with the job, and sent back with each
    return.  `delimiter`: between the parts of a grain.  `start_event`: each minion says when it begins.  `jid`: made
    before.  `user`: on whose behalf; else who runs this.  The others reach the minions as they are.
    """

    tgt_type: str
    kwarg: Mapping[str, Any] | None
    ret: str
    jid: str
    user: str
    metadata: Any
    delimiter: str
    start_event: bool
    module_executors: Any
    executor_opts: Any
    ret_config: Any
    ret_kwargs: Any
    id: Any
    master_id: str
    to: Any


OPTIONAL = (
    "start_event",
    "metadata",
    "module_executors",
    "executor_opts",
    "ret_config",
    "ret_kwargs",
    "id",
    "master_id",
    "to",
)
"""What stands in the publication only where it was given and says something."""


class Order(msgspec.Struct, frozen=True):
    """What somebody wants to be run, checked.  Made by `make_order`."""

    target: Target
    fun: str | list[str]
    arg: list[Any]
    options: JobOptions

    @property
    def jid(self) -> str:
        """Empty: it is still to be made."""
        return self.options.get("jid", "")


class Publication(msgspec.Struct, frozen=True):
    """A job as it is published.  `minions`: who is expected to answer.  `away`: those of them that are not here."""

    jid: str
    minions: list[str]
    missing: list[str]
    away: frozenset[str]
    events: list[tuple[str, dict[str, Any]]]

    def as_map(self) -> dict[str, Any]:
        """Return it as Salt's clients do: empty where no minion is expected."""
        return {"jid": self.jid, "minions": self.minions} if self.minions else {}


def make_order(
    tgt: Targeted,
    fun: str | Sequence[str],
    arg: Sequence[Any],
    options: JobOptions,
    nodegroups: Mapping[str, str | Sequence[str]],
) -> Order:
    """Check what somebody wants.

    Raises:
        InvalidTarget: the target cannot be read, or not be resolved here.
        InvalidJid: `jid` is none.
        InvalidInput: there is no function to run, or not one list of arguments for each of several.
    """
    target = parse_target(
        tgt, options.get("tgt_type", "glob"), delimiter=options.get("delimiter", DELIMITER), nodegroups=nodegroups
    )
    if jid := options.get("jid", ""):
        from sylvite.jobs.jid import parse_jid

        parse_jid(jid)
    functions = fun if isinstance(fun, str) else list(fun)
    arguments = list(arg)
    _check_functions(functions, arguments)
    if keywords := options.get("kwarg"):
        arguments.append({**keywords, KEYWORD_MARK: True})
    return Order(target, functions, arguments, options)


def _check_functions(functions: str | list[str], arguments: list[Any]) -> None:
    names = [functions] if isinstance(functions, str) else functions
    if not names or len(names) > FUNCTIONS_MAX or not all(_is_text(name) for name in names):
        raise InvalidInput("a function to run is missing; such as test.ping")
    if isinstance(functions, list):
        lists = [isinstance(each, (list, tuple)) for each in arguments]
        if not all(lists) or len(lists) != len(functions):
            raise InvalidInput(f"for {len(functions)} functions there must be as many lists of arguments")


def _is_text(name: object) -> bool:
    return isinstance(name, str) and bool(name.strip())


def publication(
    order: Order,
    *,
    jid: str,
    user: str,
    minions: Sequence[str],
    missing: Sequence[str] = (),
    present: frozenset[str] | None = None,
    now_ns: int,
) -> Publication:
    """Return the job with its events.  `minions`: who is expected.  `present`: who is here; None: nobody knows."""
    target, options = order.target, order.options
    tgt = target.tgt if isinstance(target.tgt, str) else list(target.tgt)
    user = options.get("user") or user
    stamp = _stamp(now_ns)
    new = {
        "jid": jid, "tgt_type": target.tgt_type, "tgt": tgt, "user": user, "fun": order.fun, "arg": order.arg,
        "minions": list(minions), "missing": list(missing), "_stamp": stamp,
    }  # fmt: skip
    publish: dict[str, Any] = {
        "fun": order.fun, "arg": order.arg, "tgt": tgt, "jid": jid, "ret": options.get("ret", ""),
        "tgt_type": target.tgt_type, "user": user,
    }  # fmt: skip
    if (delimiter := options.get("delimiter", DELIMITER)) != DELIMITER:
        publish["delimiter"] = delimiter
    said = cast("Mapping[str, Any]", options)
    publish |= {name: said[name] for name in OPTIONAL if said.get(name)}
    base = f"salt/job/{jid}"
    events = [(f"{base}/new", new), (f"{base}/publish", {**publish, "_stamp": stamp})]
    away = frozenset[str]() if present is None else frozenset(minions) - present
    return Publication(jid, list(minions), list(missing), away, events)


def returns_of(jid: str) -> str:
    """Return what the tags of the returns of a job begin with; the id of the minion stands behind it."""
    return f"salt/job/{jid}/ret/"


def _stamp(now_ns: int) -> str:
    """Return a moment as Salt stamps events."""
    seconds, rest_ns = divmod(now_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // 1000)
    return moment.isoformat(timespec="microseconds")
