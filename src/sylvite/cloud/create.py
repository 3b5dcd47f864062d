"""Create: one machine from its profile, each step an event that is said because the step is taken."""

from __future__ import annotations

from typing import Any, Protocol

from sylvite.cloud.arguments import Request
from sylvite.cloud.driver import Driver
from sylvite.cloud.errors import (
    CloudError,
    Interrupted,
    LedgerFailed,
    MachineExists,
    MachineFailed,
    NotSupported,
    ProviderBusy,
)
from sylvite.cloud.events import Announcer
from sylvite.cloud.ledger import Ledger
from sylvite.cloud.machine import BROKEN, Machine
from sylvite.cloud.settings import Profile
from sylvite.cloud.waiting import Clock, until
from sylvite.errors import SylviteError

REQUEST_TRIES = 3
BUSY_MAX_S = 60.0
"""A provider that wants to be asked again only later than that is not waited for."""
LOOKS, LOOKS_AFTER_NO = 6, 2
"""How often to look for a machine of which nobody knows whether it was made, or that was refused: lists lag behind."""


class Deployment(Protocol):
    """Puts a minion on a machine.  cloud/deploy.py has the one over SSH."""

    def wait(self, machine: Machine, address: str) -> None: ...

    def options(self, address: str) -> dict[str, Any]: ...

    def run(self, machine: Machine, address: str) -> None: ...


class Creation:
    """One attempt.  `create` may be called once."""

    def __init__(
        self,
        name: str,
        profile: Profile,
        driver: Driver,
        ledger: Ledger,
        announcer: Announcer,
        *,
        clock: Clock,
        deployment: Deployment | None,
    ) -> None:
        self._name, self._profile, self._driver = name, profile, driver
        self._ledger, self._announcer, self._clock, self._deployment = ledger, announcer, clock, deployment
        self._step = "checking"
        self._instance_id: str | None = None
        self._before: frozenset[str] = frozenset()

    def create(self) -> Machine:
        """Return the machine, finished.

        Raises:
            CloudError, InvalidSetting: it is not finished. There is an event that says so, and whether a machine is
                left at the provider; if one is, or may be, the ledger keeps it.
            SylviteError: the bus is away; the same, and the event comes with the next run.
        """
        try:
            self._refuse_double()
            self._ledger.begin(
                self._profile.provider.name, self._name, self._profile.name, self._profile.provider.driver
            )
        except (CloudError, SylviteError) as error:
            self._tell(error, left=False)
            raise
        try:
            return self._create()
        except BaseException as error:
            self._stopped(error)
            raise

    def _create(self) -> Machine:
        self._say("creating")
        request = self._driver.prepare(self._name, self._profile)
        tags = self._profile.machine.tag
        if tags and not self._driver.can_tag:
            raise NotSupported(f"{self._profile.place}.tag: the driver {self._profile.provider.driver} has no tags")
        self._say("requesting", kwargs=request.told, location=request.location)
        machine = self._request(request)
        self._known(machine)
        self._say("querying", instance_id=machine.id)
        machine = self._running()
        if self._profile.machine.reactor:
            self._say("query_reactor")
        if tags:
            self._say("tagging", tags=tags)
            self._driver.tag(machine, tags)
        if self._deployment is not None:
            self._deploy(self._deployment, machine)
        self._say("created", instance_id=machine.id)
        self._ledger.settle(machine.provider, self._name)
        self._ledger.saw_one(machine)
        return machine

    def _refuse_double(self) -> None:
        provider = self._profile.provider.name
        machines = [one for one in self._driver.list_machines() if not one.is_gone]
        for one in machines:
            if one.name == self._name:
                raise MachineExists(f"{self._name} is at {provider} already: {one.id}, {one.state}")
        self._before = frozenset(one.id for one in machines)

    def _request(self, request: Request) -> Machine:
        """Ask for the machine.

        To make one, some drivers ask several things: whatever error comes, the machine may be there. So it is looked
        for before the error goes on, and before anything is asked again.
        """
        for attempt in range(1, REQUEST_TRIES + 1):
            try:
                return self._driver.create(request)
            except CloudError as error:
                if not isinstance(error, NotSupported):
                    self._look_for(error)
                wait_s = error.retry_after_s or float(2**attempt) if isinstance(error, ProviderBusy) else 0.0
                is_last = attempt == REQUEST_TRIES or not 0.0 < wait_s <= BUSY_MAX_S
                if is_last or self._instance_id is not None or error.done is not False:
                    raise
                self._clock.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    def _look_for(self, error: CloudError) -> None:
        """Find out whether a machine of this name has shown up, and note it.  Where that cannot be found out, it is unknown."""
        looked = False
        for look in range(LOOKS if error.done is None else LOOKS_AFTER_NO):
            if look:
                self._clock.sleep(self._profile.machine.wait_for_ip_interval)
            try:
                machines = self._driver.list_machines()
            except CloudError:
                looked = False
                continue
            looked = True
            for one in machines:
                if one.name == self._name and one.id not in self._before and not one.is_gone:
                    self._known(one)
                    error.add_note(f"it was made all the same: {one.id}, {one.state}")
                    return
        if not looked:
            error.done = None

    def _known(self, machine: Machine) -> None:
        self._instance_id = machine.id
        self._ledger.known(machine.provider, self._name, machine.id)

    def _running(self) -> Machine:
        settings = self._profile.machine
        seen = False

        def look() -> Machine | None:
            nonlocal seen
            for one in self._driver.list_machines():
                if one.id != self._instance_id:
                    continue
                seen = True
                if one.state in BROKEN or one.is_gone:
                    raise MachineFailed(f"{self._name} ({one.id}) went into the state {one.state}")
                wants_address = self._deployment is not None
                return (
                    one
                    if one.state == "running" and (not wants_address or getattr(one, settings.ssh_interface))
                    else None
                )
            if seen:
                raise MachineFailed(
                    f"{self._name} ({self._instance_id}) has disappeared from {self._profile.provider.name}"
                )
            return None

        return until(
            look, f"{self._name} ({self._instance_id}) did not run", self._clock,
            timeout_s=settings.wait_for_ip_timeout, interval_s=settings.wait_for_ip_interval,
        )  # fmt: skip

    def _deploy(self, deployment: Deployment, machine: Machine) -> None:
        address: str = getattr(machine, self._profile.machine.ssh_interface)[0]
        self._say("waiting_for_ssh", ip_address=address)
        deployment.wait(machine, address)
        if self._profile.machine.reactor:
            self._say("ssh_ready_reactor", ip_address=address)
        self._say("deploying", kwargs=deployment.options(address))
        deployment.run(machine, address)
        self._say("deploy_script", f"{self._name} has been deployed at {address}", name=self._name, host=address)

    def _say(self, step: str, text: str | None = None, **fields: Any) -> None:
        """Say what is begun, or done; first the ledger knows it."""
        self._step = step
        self._ledger.step(self._profile.provider.name, self._name, step)
        if step in ("creating", "created"):
            self._announcer.describe(step, {**self._profile.written, **self._identity(), **fields})
        else:
            self._announcer.say(step, text, **fields)

    def _identity(self) -> dict[str, Any]:
        provider = self._profile.provider
        return {"name": self._name, "profile": self._profile.name, "provider": provider.name, "driver": provider.driver}

    def _stopped(self, error: BaseException) -> None:
        """Tell and remember what became of it.  Nothing in here may hide the error."""
        provider = self._profile.provider.name
        if self._step == "created":
            # All is done but to say so: the next run does (cloud/abandoned.py).
            self._remember(error, left=True)
            error.add_note("the machine is finished; the event that says so comes with the next `sylvite cloud`")
            return
        left = self._is_left(error)
        self._remember(error, left=left)
        if self._tell(error, left=left):
            self._remember(error, left=left, told=True)
        if left is not False:
            where = self._instance_id or "if it was made at all"
            error.add_note(f"{self._name} is left at {provider} ({where}): `sylvite cloud destroy {self._name}`")

    def _remember(self, error: BaseException, *, left: bool | None, told: bool = False) -> None:
        provider = self._profile.provider.name
        try:
            if not told:
                self._ledger.stopped(provider, self._name, self._reason(error), left=left)
            elif left is False:
                self._ledger.settle(provider, self._name)
            else:
                self._ledger.told(provider, self._name)
        except LedgerFailed as failure:
            if error is not failure and str(failure) not in getattr(error, "__notes__", ()):
                error.add_note(str(failure))

    def _reason(self, error: BaseException) -> str:
        return "interrupted" if _is_end(error) else self._driver.redactor.text(str(error)) or type(error).__name__

    def _is_left(self, error: BaseException) -> bool | None:
        if self._instance_id is not None:
            return True
        if self._step != "requesting":
            return False
        return error.done if isinstance(error, CloudError) else None

    def _tell(self, error: BaseException, *, left: bool | None) -> bool:
        code = error.code if isinstance(error, SylviteError) else Interrupted.code if _is_end(error) else "internal"
        fields: dict[str, Any] = {
            **self._identity(),
            "step": self._step,
            "code": code,
            "reason": self._reason(error),
            "left": left,
        }
        if self._instance_id is not None:
            fields["instance_id"] = self._instance_id
        try:
            self._announcer.say("failed", **fields)
        except SylviteError:
            error.add_note("no event says so yet: the bus is away; the next `sylvite cloud` says it")
            return False
        return True


def _is_end(error: BaseException) -> bool:
    return not isinstance(error, Exception)
