"""Reading the files of providers and profiles, in Salt's places and shape.

    FOLDER/cloud                     filter_events, diff_cache_events, and what holds for all machines
    FOLDER/cloud.conf.d/*.conf       more of the same
    FOLDER/cloud.providers, FOLDER/cloud.providers.d/*.conf
    FOLDER/cloud.profiles,  FOLDER/cloud.profiles.d/*.conf

What is said in a profile wins over its provider, and that over the main file. `extends` takes another provider or
profile as the beginning. Every error names the file and the key; a value that may be a secret is never shown.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import msgspec

from sylvite.cloud.files import read_own
from sylvite.cloud.maps import Mapped, joined
from sylvite.cloud.names import driver_name, is_for_machines, provider_arguments
from sylvite.cloud.secret import HIDDEN, Secret, is_secret_name
from sylvite.cloud.settings import (
    DURATIONS,
    MACHINE_KEYS,
    CloudSettings,
    EventFilter,
    MachineSettings,
    Profile,
    Provider,
)
from sylvite.config import read_yaml
from sylvite.core.duration import parse_duration_s
from sylvite.errors import InvalidSetting

EXTENDS_MAX = 16
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1", re.ASCII).fullmatch
_HOST_KEY_NEEDED = (
    "is needed to deploy: the machine's public host key; or `known`, where ssh's own files have it; or "
    "`accept-new`, which takes whatever key the machine shows the first time"
)
_MAIN_KEYS = ("filter_events", "diff_cache_events")


GIVEN = "what was given"
"""Stands for the place of what is in no file."""


class Entry(NamedTuple):
    """What stands in a file under one name."""

    place: str
    found: dict[str, Any]


def read_settings(
    folder: Path, more: Mapping[str, Mapping[str, Any]] | None = None, mapped: Sequence[Mapped] = ()
) -> CloudSettings:
    """Return what the files in a folder say.  `more`: profiles that are in none of them.

    `mapped`: machines of a map; what those have that is not in their profile, is a profile under their `key`.

    Raises:
        InvalidSetting: a file cannot be read, is not safe, or says something that is wrong.
    """
    warnings: list[str] = []
    main = _main(folder, warnings)
    raw_providers = dict(_entries(folder, "cloud.providers", warnings))
    raw_profiles = dict(_entries(folder, "cloud.profiles", warnings))
    raw_profiles |= {name: Entry(GIVEN, dict(found)) for name, found in (more or {}).items()}
    raw_profiles |= {each.key: _mapped(raw_profiles, each) for each in mapped if each.more}
    providers: dict[str, Provider] = {}
    shared: dict[str, dict[str, Any]] = {}
    for name in raw_providers:
        entry = _extended(raw_providers, name)
        providers[name], shared[name] = _provider(name, entry)
    profiles = {name: _profile(name, _extended(raw_profiles, name), providers, shared, main) for name in raw_profiles}
    profiles |= {
        each.key: msgspec.structs.replace(profiles[each.key], name=each.profile) for each in mapped if each.more
    }
    filters = _filters(main)
    return CloudSettings(
        str(folder), providers, profiles, filters, bool(main.found.get("diff_cache_events", False)), tuple(warnings)
    )


def _main(folder: Path, warnings: list[str]) -> Entry:
    found: dict[str, Any] = {}
    for path in _files(folder, "cloud", "cloud.conf.d"):
        found |= _read_map(path, folder, warnings)
    place = str(folder / "cloud")
    for key in found:
        if key not in MACHINE_KEYS and key not in _MAIN_KEYS:
            raise InvalidSetting(
                f"{place}: {key}", HIDDEN, f"is not a setting{_meant(key, (*_MAIN_KEYS, *MACHINE_KEYS))}"
            )
    if not isinstance(found.get("diff_cache_events", False), bool):
        raise InvalidSetting(f"{place}: diff_cache_events", found["diff_cache_events"], "must be true or false")
    return Entry(place, found)


def _filters(main: Entry) -> dict[str, EventFilter]:
    where = f"{main.place}: filter_events"
    try:
        return msgspec.convert(main.found.get("filter_events") or {}, dict[str, EventFilter])
    except msgspec.ValidationError as error:
        raise InvalidSetting(where, main.found["filter_events"], f"is not valid: {error}") from error


def _files(folder: Path, single: str, several: str) -> Iterator[Path]:
    if (folder / single).is_file():
        yield folder / single
    yield from sorted((folder / several).glob("*.conf"))


def _read_map(path: Path, folder: Path, warnings: list[str]) -> dict[str, Any]:
    where = str(path)
    file = read_own(path, "config")
    found: Any = read_yaml(file.content, where)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidSetting("config", where, "must be a map")
    if file.others_read and _has_secret(found):
        warnings.append(f"{path.relative_to(folder)} holds secrets, and others can read it: `chmod 600` it")
    return cast("dict[str, Any]", found)


def _has_secret(value: Any) -> bool:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return any((is_secret_name(key) and isinstance(inner, str)) or _has_secret(inner) for key, inner in items)
    return isinstance(value, list) and any(map(_has_secret, cast("list[Any]", value)))


def _entries(folder: Path, kind: str, warnings: list[str]) -> Iterator[tuple[str, Entry]]:
    seen: dict[str, Path] = {}
    for path in _files(folder, kind, f"{kind}.d"):
        for name, found in _read_map(path, folder, warnings).items():
            if name in seen:
                raise InvalidSetting(f"{path}: {name}", HIDDEN, f"is there already, in {seen[name]}")
            if not isinstance(found, dict):
                raise InvalidSetting(f"{path}: {name}", HIDDEN, "must be a map of settings")
            seen[name] = path
            yield name, Entry(f"{path}: {name}", cast("dict[str, Any]", found))


def _extended(entries: Mapping[str, Entry], name: str) -> Entry:
    """Return an entry with what it extends under it."""
    place, found = entries[name]
    chain: list[dict[str, Any]] = [found]
    while (base := chain[-1].get("extends")) is not None:
        base = base.partition(":")[0] if isinstance(base, str) else base
        if base not in entries:
            raise InvalidSetting(f"{place}.extends", base, f"is not there{_meant(str(base), entries)}")
        if len(chain) > EXTENDS_MAX:
            raise InvalidSetting(f"{place}.extends", base, "goes in a circle")
        chain.append(entries[base].found)
    merged: dict[str, Any] = {}
    for one in reversed(chain):
        merged |= one
    merged.pop("extends", None)
    return Entry(place, merged)


def _mapped(profiles: Mapping[str, Entry], machine: Mapped) -> Entry:
    if machine.profile not in profiles:
        raise InvalidSetting(machine.place, machine.profile, f"is no profile{_meant(machine.profile, profiles)}")
    return Entry(machine.place, joined(_extended(profiles, machine.profile).found, machine.more))


def _provider(name: str, entry: Entry) -> tuple[Provider, dict[str, Any]]:
    """Return a provider, and what it says of all its machines."""
    place, found = entry
    driver = found.get("driver")
    if not isinstance(driver, str):
        hint = "; `provider:` is its old name" if "provider" in found else ""
        raise InvalidSetting(f"{place}.driver", driver, f"must be the name of a libcloud driver{hint}")
    driver = driver_name(driver)
    listing: Any = found.get("list_nodes") or {}
    if not isinstance(listing, dict):
        raise InvalidSetting(f"{place}.list_nodes", HIDDEN, "must be a map of arguments for the driver's list_nodes")
    of_machines = (MACHINE_KEYS - {"password", "location"}) | {
        key for key in found if is_for_machines(driver, key, found)
    }
    own = set(found) - of_machines - {"driver", "list_nodes", "tags"}
    written = {key: _with_secrets(found[key], key, place) for key in sorted(own)}
    arguments = provider_arguments(driver, written)
    for key, value in written.items():
        _check_transport(key, value, place)
    if written.get("secure") is False and not _is_here(str(written.get("host"))):
        raise InvalidSetting(f"{place}.secure", False, "would send secrets in the clear")
    shared = {key: value for key, value in found.items() if key in of_machines or key == "tags"}
    _machine({key: value for key, value in shared.items() if key in MACHINE_KEYS}, place)
    return Provider(name, driver, arguments, cast("dict[str, Any]", listing), place), shared


def _with_secrets(value: Any, name: str, place: str) -> Any:
    """Return a value with its secrets as such; `{file: PATH}` and `{env: NAME}` stand for one that is elsewhere."""
    if isinstance(value, dict):
        inner = cast("dict[str, Any]", value)
        if is_secret_name(name) and len(inner) == 1 and ("file" in inner or "env" in inner):
            return _secret_elsewhere(inner, f"{place}.{name}")
        return {key: _with_secrets(each, key, place) for key, each in inner.items()}
    if isinstance(value, list):
        return [_with_secrets(each, name, place) for each in cast("list[Any]", value)]
    return Secret(str(value)) if is_secret_name(name) and isinstance(value, str | int | float) else value


def _secret_elsewhere(inner: dict[str, Any], setting: str) -> Secret:
    (kind, where), *_ = inner.items()
    if kind == "env":
        found = os.environ.get(str(where))
        if not found:
            raise InvalidSetting(setting, f"env: {where}", "is not set in the environment")
        return Secret(found)
    try:
        return Secret(read_own(Path(str(where)).expanduser(), setting, private=True).content.decode().rstrip("\r\n"))
    except UnicodeDecodeError as error:
        raise InvalidSetting(setting, str(where), "is no text") from error


def _check_transport(key: str, value: object, place: str) -> None:
    """Raises InvalidSetting: it would send secrets to whoever answers, or in the clear."""
    if key.startswith("verify") and value is False:
        raise InvalidSetting(f"{place}.{key}", value, "is not taken: who answers is always verified")
    if isinstance(value, str) and value.lower().startswith("http://"):
        host = urlsplit(value).hostname
        if not _is_here(host):
            raise InvalidSetting(f"{place}.{key}", f"http://{host}", "would send secrets in the clear; write https")


def _is_here(host: str | None) -> bool:
    return host is not None and _LOOPBACK(host) is not None


def _profile(
    name: str,
    entry: Entry,
    providers: Mapping[str, Provider],
    shared: Mapping[str, Mapping[str, Any]],
    main: Entry,
) -> Profile:
    place, found = entry
    named = found.get("provider")
    provider = named.partition(":")[0] if isinstance(named, str) else ""
    if provider not in providers:
        raise InvalidSetting(f"{place}.provider", named, f"is not there{_meant(str(named), providers)}")
    for_all = {key: value for key, value in main.found.items() if key in MACHINE_KEYS}
    merged = {**for_all, **shared[provider], **found}
    if "tags" in merged:
        merged["tag"] = merged.pop("tags")
    merged.pop("provider", None)
    machine = _machine({key: value for key, value in merged.items() if key in MACHINE_KEYS}, place)
    written = {key: _with_secrets(value, key, place) for key, value in merged.items() if key != "script_env"}
    arguments = {key: value for key, value in written.items() if key not in MACHINE_KEYS}
    _check_deployment(machine, place)
    return Profile(name, providers[provider], machine, arguments, written, place)


def _machine(found: Mapping[str, Any], place: str) -> MachineSettings:
    read: dict[str, Any] = {}
    for key, value in found.items():
        try:
            read[key] = parse_duration_s(value) if key in DURATIONS and isinstance(value, str) else value
        except InvalidSetting as error:
            raise InvalidSetting(f"{place}.{key}", value, error.reason) from error
        if key == "password":
            read[key] = _with_secrets(value, key, place)
        elif key == "script_env" and isinstance(value, dict):
            values = cast("dict[str, Any]", value)
            read[key] = {name: _with_secrets(one, key, place) for name, one in values.items()}
    for key, value in read.items():
        try:
            msgspec.convert({key: value}, MachineSettings)
        except msgspec.ValidationError as error:
            shown = HIDDEN if is_secret_name(key) else value
            raise InvalidSetting(
                f"{place}.{key}", shown, f"is not valid: {str(error).partition(' - at')[0]}"
            ) from error
    return msgspec.convert(read, MachineSettings)


def _check_deployment(machine: MachineSettings, place: str) -> None:
    if not machine.deploys:
        return
    for key, value, reason in (
        ("script", machine.script, "is needed to deploy: the path of a script"),
        ("private_key", machine.private_key, "is needed to deploy: the path of a key that the machine lets in"),
        (
            "ssh_host_key",
            machine.ssh_host_key,
            _HOST_KEY_NEEDED,
        ),
    ):
        if not value:
            raise InvalidSetting(f"{place}.{key}", value, reason)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", machine.ssh_username):
        raise InvalidSetting(f"{place}.ssh_username", machine.ssh_username, "is no user's name")
    for name in machine.script_env:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise InvalidSetting(f"{place}.script_env", name, "is not the name of a variable")


def _meant(name: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
