"""What a minion publishes of a job."""

from __future__ import annotations

import signal
from typing import Any

import msgspec
import pytest

from sylvite.jobs.answers import Failure, how_it_ended, progress_event, return_load, start_event, without_value
from sylvite.jobs.worker_messages import NOTHING, Returned

JOB: dict[str, Any] = {"fun": "test.echo", "arg": ["x"], "tgt": "*", "jid": "20261123224730000001", "user": "root"}


def returned(value: Any, arguments: Any = None, out: str | None = None) -> Returned:
    packed = NOTHING if arguments is None else msgspec.Raw(msgspec.msgpack.encode(arguments))
    return Returned(msgspec.Raw(msgspec.msgpack.encode(value)), 0, True, packed, out, [])


def shown(load: dict[str, Any]) -> dict[str, Any]:
    """As it is read on a bus."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(load))


def test_arguments_are_those_that_the_function_has_left() -> None:
    assert shown(return_load("alpha", JOB, returned("x", ["y"])))["fun_args"] == ["y"]
    assert shown(return_load("alpha", JOB, returned("x")))["fun_args"] == ["x"]


def test_a_failure_has_all_that_a_return_has() -> None:
    good = return_load("alpha", JOB, returned("x", out="txt"))
    bad = return_load("alpha", JOB, Failure("It has died", 139))
    assert list(good) == list(bad)
    assert (bad["return"], bad["success"], bad["retcode"], bad["out"]) == ("It has died", False, 139, "nested")


def test_a_user_is_not_made_up() -> None:
    load = return_load("alpha", {name: value for name, value in JOB.items() if name != "user"}, returned("x"))
    assert "user" not in load


def test_what_fits_into_no_event_makes_way() -> None:
    load = without_value(return_load("alpha", JOB, returned("x" * 100)), "the event has 2000000 bytes")
    assert (load["return"], load["fun_args"]) == ("VALUE_TRIMMED: the event has 2000000 bytes", [])
    assert load["jid"] == JOB["jid"]


def test_events_that_go_up() -> None:
    assert start_event("alpha", JOB)["data"] == {
        "id": "alpha", "jid": JOB["jid"], "fun": "test.echo", "tgt": "*", "tgt_type": "glob", "user": "root",
    }  # fmt: skip
    up = progress_event("alpha", "20261123224730000001", 7, "item")
    assert up["tag"] == "salt/job/20261123224730000001/prog/alpha/7"
    assert up["data"] == {"return": "item"}


@pytest.mark.parametrize(
    ("status", "said", "retcode", "is_crash"),
    [
        (signal.SIGSEGV, "ended by SIGSEGV", 139, True), (signal.SIGSEGV | 0x80, "ended by SIGSEGV", 139, True),
        (signal.SIGKILL, "ended by SIGKILL", 137, False), (signal.SIGRTMIN + 1, "ended by signal 35", 163, True),
        (0, "exit code 0", 1, False), (3 << 8, "exit code 3", 3, False), (None, "has died", 1, False),
    ],
)  # fmt: skip
def test_how_a_process_ended(status: int | None, said: str, retcode: int, *, is_crash: bool) -> None:
    failure = how_it_ended(None if status is None else int(status))
    assert said in failure.text
    assert (failure.retcode, failure.is_crash) == (retcode, is_crash)
