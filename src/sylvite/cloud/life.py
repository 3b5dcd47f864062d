"""The life of a machine after its creation: destroy, start, stop, reboot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sylvite.cloud.driver import Change, Driver
from sylvite.cloud.errors import AnswerUnknown, CloudError, Interrupted, NoSuchMachine
from sylvite.cloud.events import Announcer
from sylvite.cloud.ledger import Ledger
from sylvite.cloud.machine import Machine
from sylvite.cloud.waiting import Clock, until
from sylvite.errors import InvalidInput, SylviteError

FIRST_S, INTERVAL_S = 0.25, 5.0
BEGUN: Mapping[Change, str] = {"start": "starting", "stop": "stopping", "reboot": "rebooting"}
DONE: Mapping[Change, tuple[str, str]] = {"start": ("running", "started"), "stop": ("stopped", "stopped")}
"""The state that shows that it is done, and the step that says so.  That a machine has rebooted cannot be seen: it runs
before and behind."""


def find(machines: Iterable[Machine], name: str) -> Machine:
    """Return the machine of that name, or id.

    Raises:
        NoSuchMachine, InvalidInput: there are several.
    """
    found = [one for one in machines if not one.is_gone and name in (one.name, one.id)]
    if not found:
        raise NoSuchMachine(f"there is no machine {name!r}; `sylvite cloud list` shows those that there are")
    if len(found) > 1:
        several = ", ".join(f"{one.id} at {one.provider}" for one in found)
        raise InvalidInput(
            f"{len(found)} machines are called {name!r}: write the id of one ({several}), or add --provider"
        )
    return found[0]


def destroy(
    machine: Machine, driver: Driver, ledger: Ledger, announcer: Announcer, *, clock: Clock, timeout_s: float
) -> None:
    """Destroy a machine; return when the provider lists it no more.

    Raises:
        CloudError: it is not destroyed, or nobody knows; there is an event that says so.
    """
    identity = {"name": machine.name, "instance_id": machine.id}

    def look() -> bool | None:
        return True if all(one.id != machine.id or one.is_gone for one in driver.list_machines()) else None

    try:
        announcer.say("destroying", **identity)
        try:
            driver.destroy(machine)
        except AnswerUnknown:
            pass  # What became of it is looked at next.
        until(
            look,
            f"{machine.name} ({machine.id}) was not gone",
            clock,
            timeout_s=timeout_s,
            interval_s=INTERVAL_S,
            first_s=FIRST_S,
        )
    except BaseException as error:
        _tell(announcer, "destroy_failed", error, identity)
        raise
    announcer.say("destroyed", **identity)
    ledger.settle_machine(machine)
    ledger.forget(machine.provider, machine.id)


def change(
    what: Change, machine: Machine, driver: Driver, announcer: Announcer, *, clock: Clock, timeout_s: float
) -> None:
    """Start, stop or reboot a machine; the first two return when the provider shows that it is so.

    Raises:
        NotSupported: the driver cannot; nothing is said.
        CloudError: it did not happen, or nobody knows; there is an event that says so.
    """
    driver.check_can(what)
    identity = {"name": machine.name, "instance_id": machine.id}
    try:
        announcer.say(BEGUN[what], **identity)
        driver.change(what, machine)
        if what not in DONE:
            return
        state, step = DONE[what]

        def look() -> bool | None:
            return True if any(one.id == machine.id and one.state == state for one in driver.list_machines()) else None

        until(
            look,
            f"{machine.name} ({machine.id}) was not {state}",
            clock,
            timeout_s=timeout_s,
            interval_s=INTERVAL_S,
            first_s=FIRST_S,
        )
    except BaseException as error:
        _tell(announcer, "action_failed", error, {**identity, "action": what})
        raise
    announcer.say(step, **identity)


def _tell(announcer: Announcer, step: str, error: BaseException, identity: dict[str, Any]) -> None:
    ended = not isinstance(error, Exception)
    code = error.code if isinstance(error, SylviteError) else Interrupted.code if ended else "internal"
    done = error.done if isinstance(error, CloudError) else None
    try:
        announcer.say(step, **identity, code=code, reason="interrupted" if ended else str(error), done=done)
    except SylviteError:
        error.add_note("no event says so: the bus is away")
