"""Run steps one after the other: on minions, and here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from sylvite.errors import SylviteError
from sylvite.functions import master
from sylvite.functions.bus import LocalBus
from sylvite.functions.clients import RunnerClient, TaskClient, WheelClient
from sylvite.functions.given import __bus__, __jid_event__, __opts__
from sylvite.functions.orchestration import Done, InvalidOrchestration, Step, holds, read_steps, why_not
from sylvite.functions.sources import read_source

_LOCAL = ("tgt", "tgt_type", "arg", "kwarg", "timeout", "ret")


def orchestrate(mods: str, saltenv: str = "base", pillar: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    Run the steps of a file: salt.function on minions, salt.runner and salt.wheel here.

    mods
        The file: ``orch.deploy`` is orch/deploy.sls, or orch/deploy/init.sls,
        in a folder of file_roots.
    saltenv
        Of which file_roots.
    pillar
        What stands for ``{{ pillar['name'] }}`` in the file.

    Each step is an event, salt/run/JID/args, with what it was asked for.

    CLI Example:

        sylvite run state.orchestrate orch.deploy
        sylvite run state.orchestrate orch.command pillar='{exit_code: 0}'
    """
    path = _file_of(mods, saltenv)
    steps = read_steps(read_source(path), str(path), pillar or {})
    done: dict[str, Done] = {}
    shown: dict[str, Any] = {}
    for number, step in enumerate(steps):
        begun_ns = time.time_ns()
        done[step.id] = why_not(step, done) or _do(step)
        shown[step.key] = {
            "__id__": step.id, "__run_num__": number, "__sls__": mods, "name": step.name, **done[step.id]._asdict(),
            "start_time": f"{datetime.fromtimestamp(begun_ns / 1e9):%H:%M:%S.%f}",  # noqa: DTZ006 - as Salt: the local time
            "duration": (time.time_ns() - begun_ns) / 1e6,
        }  # fmt: skip
    data = {str(__opts__.get("id", "master")): shown}
    return {"outputter": "highstate", "data": data, "retcode": 0 if holds(data) else 1}


def orch(mods: str, saltenv: str = "base", pillar: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    As state.orchestrate.

    CLI Example:

        sylvite run state.orch orch.deploy
    """
    return orchestrate(mods, saltenv, pillar)


def orchestrate_show_sls(
    mods: str, saltenv: str = "base", pillar: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any] | list[str]]:
    """
    Show the steps of a file, and run none.

    As state.orchestrate; where there is no such file, a list that says so stands in the place of the steps.

    CLI Example:

        sylvite run state.orchestrate_show_sls orch.deploy
    """
    whose = f"{__opts__.get('id', 'master')}_master"
    try:
        path = _file_of(mods, saltenv)
    except InvalidOrchestration as error:
        return {whose: [str(error)]}
    steps = read_steps(read_source(path), str(path), pillar or {})
    return {
        whose: {step.id: {"salt": [step.kind, {"name": step.name}, step.options], "__sls__": mods} for step in steps}
    }


def _file_of(mods: str, saltenv: str) -> Path:
    roots = cast("Mapping[str, list[str]]", __opts__.get("file_roots", {})).get(saltenv, [])
    parts = mods.split(".")
    if not all(part and part not in ("..", ".") and "/" not in part for part in parts):
        raise InvalidOrchestration(repr(mods), "is not the name of a file, such as orch.deploy")
    for root in roots:
        below = Path(root).absolute().joinpath(*parts)
        for path in (below.with_name(f"{below.name}.sls"), below / "init.sls"):
            if path.is_file():
                return path
    where = ", ".join(map(str, roots)) or f"file_roots: there is no {saltenv!r}"
    raise InvalidOrchestration(mods, f"there is no such file in {where}")


def _do(step: Step) -> Done:
    """Run a step; whatever goes wrong with it is what comes of it."""
    try:
        if step.kind == "function":
            return _on_minions(step)
        client_of, word = (RunnerClient, "Runner") if step.kind == "runner" else (WheelClient, "Wheel")
        return _here(step, client_of, word)
    except SylviteError as error:
        return Done(False, str(error))


def _here(step: Step, client_of: type[TaskClient], word: str) -> Done:
    __jid_event__.fire_event({"type": step.kind, "name": step.id, "args": dict(step.options)}, "args")
    # Not closed: the bus is the one of this run.
    client = client_of(__opts__, bus=cast("LocalBus", __bus__))
    found = client.cmd(step.name, kwarg=step.options, full_return=True)
    said = f"{word} function '{step.name}' "
    return Done(
        bool(found["success"]),
        f"{said}executed." if found["success"] else f"{said}failed.",
        {"return": found["return"]},
    )


def _on_minions(step: Step) -> Done:
    asked = {name: step.options[name] for name in _LOCAL if name in step.options}
    unknown = sorted(set(step.options) - set(_LOCAL))
    if unknown:
        return Done(False, f"salt.function does not take {', '.join(unknown)}")
    tgt, arg = asked.pop("tgt"), asked.pop("arg", [])
    tgt_type, timeout = asked.pop("tgt_type", "glob"), asked.pop("timeout", None)
    told = {"tgt_type": tgt_type, "arg": arg, **asked}
    __jid_event__.fire_event({"type": "function", "name": step.id, "tgt": tgt, "args": told}, "args")
    listed = cast("list[Any]", arg if isinstance(arg, list) else [arg])
    with master.local_client(__opts__, __bus__) as client:
        found: dict[str, dict[str, Any]] = {}
        for each in client.cmd_iter(
            tgt,
            step.name,
            listed,
            timeout_s=timeout,
            tgt_type=tgt_type,
            kwarg=asked.get("kwarg"),
            ret=asked.get("ret", ""),
        ):
            found |= each
    if not found:
        return Done(False, "No minions responded")
    returns = {minion: each.get("ret", False) for minion, each in found.items()}
    failed = sorted(minion for minion, each in found.items() if each.get("failed") or each.get("retcode"))
    if failed:
        return Done(False, f"Running function {step.name} failed on minions: {', '.join(failed)}", {"ret": returns})
    return Done(
        True, f"Function ran successfully. Function {step.name} ran on {', '.join(sorted(found))}.", {"ret": returns}
    )
