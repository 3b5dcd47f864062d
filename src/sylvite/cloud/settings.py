"""Settings: providers and profiles, as salt-cloud's files have them.  Reading the files: cloud/reading.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from sylvite.cloud.secret import Secret

Scalar = str | int | float


class EventFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an event tells of a machine: `keys`, and with `use_defaults` also what it tells without them."""

    keys: tuple[str, ...] = ()
    use_defaults: bool = True


class MachineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be said of a machine, in a profile; in a provider or the main file it is said for all of theirs.

    `size`, `image`, `location`: id or name at the provider.  `deploy`: run `script` over SSH; by default where there
    is one.  `script`: a path, or a name in `cloud.deploy.d/`.  `ssh_host_key`: how to know the machine: `accept-new`,
    `known`, or its public key.  `minion`, `grains`: for the minion's configuration.  `tag`: labels at the provider.
    `reactor`: also say when the machine was found and when SSH answers.  Times are seconds.
    """

    size: Scalar | None = None
    image: Scalar | None = None
    location: Scalar | None = None
    tag: dict[str, Scalar] = {}
    password: Secret | None = None
    ssh_public_key: str | None = None
    userdata_file: str | None = None
    reactor: bool = False
    wait_for_ip_timeout: float = 600.0
    wait_for_ip_interval: float = 5.0
    deploy: bool | None = None
    script: str | None = None
    script_args: str | tuple[Scalar, ...] = ()
    script_env: dict[str, Secret] = {}
    minion: dict[str, Any] = {}
    grains: dict[str, Any] = {}
    preseed_minion_keys: bool = True
    ssh_interface: Literal["public_ips", "private_ips"] = "public_ips"
    ssh_username: str = "root"
    ssh_port: int = 22
    private_key: str | None = None
    ssh_host_key: str | tuple[str, ...] | None = None
    ssh_known_hosts: str | None = None
    ssh_connect_timeout: float = 300.0
    deploy_timeout: float = 900.0
    sudo: bool | None = None
    display_ssh_output: bool = False

    @property
    def deploys(self) -> bool:
        return self.script is not None if self.deploy is None else self.deploy


MACHINE_KEYS = frozenset(MachineSettings.__struct_fields__)
DURATIONS = frozenset(field.name for field in msgspec.structs.fields(MachineSettings) if field.type is float)


class Provider(msgspec.Struct, frozen=True):
    """`arguments`: for the driver's constructor, under its names.  `listing`: for `list_nodes`.  `place`: its file."""

    name: str
    driver: str
    arguments: Mapping[str, Any]
    listing: Mapping[str, Any]
    place: str

    def secrets(self) -> Iterator[Secret]:
        yield from secrets_in(self.arguments)


class Profile(msgspec.Struct, frozen=True):
    """`arguments`: for the driver's `create_node`, as written.  `written`: all of it, for `filter_events`."""

    name: str
    provider: Provider
    machine: MachineSettings
    arguments: Mapping[str, Any]
    written: Mapping[str, Any]
    place: str

    def secrets(self) -> Iterator[Secret]:
        yield from self.provider.secrets()
        yield from secrets_in(self.arguments)
        if self.machine.password is not None:
            yield self.machine.password
        yield from self.machine.script_env.values()


class CloudSettings(msgspec.Struct, frozen=True):
    """`warnings`: what should be put right, one line each."""

    folder: str
    providers: Mapping[str, Provider]
    profiles: Mapping[str, Profile]
    filter_events: Mapping[str, EventFilter]
    diff_cache_events: bool
    warnings: tuple[str, ...]


def secrets_in(value: Any) -> Iterator[Secret]:
    """Yield the secrets in nested maps and lists."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():  # type: ignore[reportUnknownVariableType] - whatever a file has
            yield from secrets_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:  # type: ignore[reportUnknownVariableType] - as above
            yield from secrets_in(inner)
