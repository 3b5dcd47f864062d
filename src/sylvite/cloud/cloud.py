"""Cloud: everything that can be done with machines, for the command line and for runners.

    with Cloud(read_settings(folder), state, publish) as cloud:
        machine = cloud.create("web1", "small")

It asks providers and runs `ssh`: it lives in a process of its own, never in the broker's.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import msgspec

from sylvite.cloud import life
from sylvite.cloud.abandoned import tell_abandoned
from sylvite.cloud.cache import compare
from sylvite.cloud.create import Creation
from sylvite.cloud.deploy import MakeKey, SshDeployment
from sylvite.cloud.driver import Change, Driver, check_arguments, driver_class, open_driver
from sylvite.cloud.errors import LibraryMissing, NoSuchMachine
from sylvite.cloud.events import Announcer, Publish
from sylvite.cloud.ledger import Ledger, Unfinished
from sylvite.cloud.machine import Machine, check_name, tag_part
from sylvite.cloud.secret import Redactor
from sylvite.cloud.settings import CloudSettings, Profile, Provider
from sylvite.cloud.waiting import Clock, SystemClock
from sylvite.errors import InvalidInput, SylviteError

DESTROY_TIMEOUT_S = 300.0
ACTION_TIMEOUT_S = 300.0
T = TypeVar("T")


class Listing(msgspec.Struct, frozen=True):
    """What is at the providers.  `failed`: those that could not be asked."""

    machines: list[Machine]
    failed: dict[str, SylviteError]


class Cloud:
    """A context manager.

    `state`: the folder for what has to survive this process.  `publish`: puts an event on the bus.  `make_key`: makes a
    minion's key, accepted beforehand; without it a minion comes with none.  `on_output`: gets the lines that a deployment prints.
    """

    def __init__(
        self,
        settings: CloudSettings,
        state: Path,
        publish: Publish,
        *,
        clock: Clock | None = None,
        make_key: MakeKey | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings
        self.ledger = Ledger(state)
        self._state, self._publish, self._make_key, self._on_output = state, publish, make_key, on_output
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._drivers: dict[str, Driver] = {}
        secrets = [secret for provider in settings.providers.values() for secret in provider.secrets()]
        secrets += [secret for profile in settings.profiles.values() for secret in profile.secrets()]
        self._redactor = Redactor(secrets)

    def __enter__(self) -> Cloud:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ledger.__exit__(kind, error, trace)

    def tell_abandoned(self) -> list[Unfinished]:
        """Say what earlier runs could not say.  Raises SylviteError: the bus is away."""
        return tell_abandoned(self.ledger, self._announcer)

    def create(self, name: str, profile: str) -> Machine:
        """Create a machine.  Raises: as `Creation.create`; InvalidInput: the name, or there is no such profile."""
        chosen = self.profile(profile)
        creation = Creation(
            check_name(name), chosen, self.driver(chosen.provider), self.ledger, self._announcer(name),
            clock=self._clock, deployment=self.deployment(name, chosen),
        )  # fmt: skip
        return creation.create()

    def check_create(self, name: str, profile: str) -> Profile:
        """Check all of `create` that can be checked without asking anybody; return the profile."""
        chosen = self.profile(profile)
        check_name(name)
        check_arguments(driver_class(chosen.provider), chosen.provider)
        self.deployment(name, chosen)
        return chosen

    def list(self, providers: Sequence[str] = ()) -> Listing:
        """Ask providers, else all, for their machines; with `diff_cache_events` say what has changed.

        Raises:
            LibraryMissing, InvalidInput: there is no such provider.
            SylviteError: the bus is away.
        """
        machines: list[Machine] = []
        failed: dict[str, SylviteError] = {}
        for name in providers or self.settings.providers:
            try:
                found = self.driver(self.provider(name)).list_machines()
            except (InvalidInput, LibraryMissing):
                raise
            except SylviteError as error:
                failed[name] = error
                continue
            if self.settings.diff_cache_events:
                compare(self.ledger, name, [one for one in found if not one.is_gone], self._announcer)
            machines += found
        return Listing(machines, failed)

    def there(self, wanted: Sequence[tuple[str, str]]) -> dict[str, Machine]:
        """Return which of these, each a name with its profile, are there already, by name; what `check_create` checks is checked.

        Raises:
            InvalidInput, InvalidSetting: as `check_create`.
            SylviteError: a provider cannot be asked.
        """
        places = {name: self.check_create(name, profile).provider.name for name, profile in wanted}
        listing = self.list(sorted(set(places.values())))
        for error in listing.failed.values():
            raise error
        return {one.name: one for one in listing.machines if not one.is_gone and places.get(one.name) == one.provider}

    def find(self, name: str, providers: Sequence[str] = ()) -> Machine:
        """Return the machine of that name or id.

        Raises:
            NoSuchMachine; InvalidInput: there are several.
            SylviteError: a provider could not be asked, and none of the others has it.
        """
        machines: list[Machine] = []
        failed: list[SylviteError] = []
        for provider in providers or self.settings.providers:
            try:
                machines += self.driver(self.provider(provider)).list_machines()
            except (InvalidInput, LibraryMissing):
                raise
            except SylviteError as error:
                failed.append(error)
        try:
            return life.find(machines, name)
        except NoSuchMachine:
            if failed:
                raise failed[0] from None
            raise

    def destroy(self, machine: Machine, *, timeout_s: float = DESTROY_TIMEOUT_S) -> None:
        """Raises: as `life.destroy`."""
        driver = self.driver(self.provider(machine.provider))
        announcer = self._announcer(tag_part(machine.name, machine.id))
        life.destroy(machine, driver, self.ledger, announcer, clock=self._clock, timeout_s=timeout_s)

    def change(self, what: Change, machine: Machine, *, timeout_s: float = ACTION_TIMEOUT_S) -> None:
        """Start, stop or reboot.  Raises: as `life.change`."""
        driver = self.driver(self.provider(machine.provider))
        announcer = self._announcer(tag_part(machine.name, machine.id))
        life.change(what, machine, driver, announcer, clock=self._clock, timeout_s=timeout_s)

    def provider(self, name: str) -> Provider:
        return _named(self.settings.providers, name, "provider", self.settings.folder)

    def profile(self, name: str) -> Profile:
        return _named(self.settings.profiles, name, "profile", self.settings.folder)

    def driver(self, provider: Provider) -> Driver:
        """Return what asks that provider, made once.  Raises: as `open_driver`."""
        if provider.name not in self._drivers:
            self._drivers[provider.name] = open_driver(provider, self._redactor)
        return self._drivers[provider.name]

    def _announcer(self, name: str) -> Announcer:
        return Announcer(name, self._publish, self.settings.filter_events, self._redactor)

    def deployment(self, name: str, profile: Profile) -> SshDeployment | None:
        """Return what puts a minion on a machine, None where the profile wants none.  Raises InvalidSetting."""
        if not profile.machine.deploys:
            return None
        return SshDeployment(
            name, profile, Path(self.settings.folder), self._state,
            clock=self._clock, make_key=self._make_key, on_output=self._on_output,
        )  # fmt: skip


def _named(known: Mapping[str, T], name: str, what: str, folder: str) -> T:
    found = known.get(name)
    if found is None:
        close = difflib.get_close_matches(name, known, 1)
        hint = (
            f"did you mean {close[0]!r}?"
            if close
            else f"there are {', '.join(known)}"
            if known
            else f"none in {folder}"
        )
        raise InvalidInput(f"there is no {what} {name!r}; {hint}")
    return found
