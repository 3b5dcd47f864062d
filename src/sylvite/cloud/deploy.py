"""Deploy: put a minion on a machine that has just been created, with a script, over SSH.

The script finds in its working folder, which is named to it with `-c` and goes when it ends: `minion`, the
configuration; `minion.pem` and `minion.pub`, where a key was made before. As salt-cloud hands them to its script.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec

from sylvite.cloud.errors import DeployFailed
from sylvite.cloud.files import read_own
from sylvite.cloud.machine import Machine
from sylvite.cloud.secret import Redactor, Secret
from sylvite.cloud.settings import Profile
from sylvite.cloud.ssh import CONNECTION_FAILED, SshTarget, public_keys, run, wait_for_ssh, write_known_hosts
from sylvite.cloud.waiting import Clock
from sylvite.errors import InvalidSetting


class MinionKey(msgspec.Struct, frozen=True):
    """A minion's pair of keys, as texts for its files."""

    private: Secret
    public: str


LINE_BYTES_MAX = 8 * 1024
MakeKey = Callable[[str], MinionKey]
"""Makes a key for a minion id, accepted by the master before the minion comes."""

_REMOTE = (
    "umask 077; d=$(mktemp -d) || exit 1; trap 'rm -rf \"$d\"' EXIT; "
    'tar -xf - -C "$d" || exit 1; cd "$d" || exit 1; [ ! -f env ] || . ./env; '
)


class Lines:
    """Cuts output into lines for `show`, whose length has an end: what is shown can be looked through for secrets."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show, self._rest = show, b""

    def take(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._show(line[:LINE_BYTES_MAX].decode(errors="replace").rstrip("\r"))
        self._rest = self._rest[:LINE_BYTES_MAX]

    def end(self) -> None:
        if self._rest:
            self.take(b"\n")


class SshDeployment:
    """For one machine.  `script`, key and host key are read and checked when it is made, before anything is created.

    Raises:
        InvalidSetting: from the constructor.
    """

    def __init__(
        self,
        name: str,
        profile: Profile,
        folder: Path,
        state: Path,
        *,
        clock: Clock,
        make_key: MakeKey | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> None:
        self._name, self._profile, self._settings = name, profile, profile.machine
        self._state, self._clock, self._make_key = state, clock, make_key
        self._on_output = on_output if self._settings.display_ssh_output else None
        self._host_key_file = state / f"host_key.{name}"
        self._script_path, self._script = _script(profile, folder)
        self._key_file = _key_file(profile)
        host_key = self._settings.ssh_host_key or ()
        is_word = host_key in ("known", "accept-new")
        self._keys = [] if is_word else public_keys(host_key, f"{profile.place}.ssh_host_key")
        self._arguments = _arguments(profile)
        self._minion = _minion(name, profile)

    def wait(self, machine: Machine, address: str) -> None:
        """Raises DeployFailed, MachineTimeout."""
        target = self._target(machine, address)
        wait_for_ssh(target, self._clock, timeout_s=self._settings.ssh_connect_timeout)

    def options(self, address: str) -> dict[str, Any]:
        """Return what the event tells of the deployment, as salt-cloud names it; no secrets."""
        settings = self._settings
        return {
            "name": self._name,
            "host": address,
            "port": settings.ssh_port,
            "username": settings.ssh_username,
            "key_filename": self._key_file,
            "deploy_command": "sh ./deploy.sh",
            "script": str(self._script_path),
            "script_args": self._arguments,
            "script_env": sorted(settings.script_env),
            "minion_conf": self._minion,
            "make_minion": True,
            "preseed_minion_keys": self._make_key is not None and settings.preseed_minion_keys,
            "sudo": self._sudo,
            "tty": False,
            "keep_tmp": False,
            "display_ssh_output": settings.display_ssh_output,
        }

    def run(self, machine: Machine, address: str) -> None:
        """Raises DeployFailed: the script ended with an error, or was not run; MachineTimeout."""
        key = self._make_key(self._name) if self._make_key is not None and self._settings.preseed_minion_keys else None
        redactor = Redactor([*self._profile.secrets(), *([key.private] if key is not None else [])])
        lines = Lines(lambda line: self._on_output(redactor.text(line)) if self._on_output is not None else None)
        try:
            ended = run(
                self._target(machine, address), self.command(), self._archive(key),
                timeout_s=self._settings.deploy_timeout, on_output=lines.take,
            )  # fmt: skip
        finally:
            lines.end()
            self._host_key_file.unlink(missing_ok=True)
        if ended.code == CONNECTION_FAILED:
            raise DeployFailed(
                f"{address}: the connection failed: {redactor.text(ended.last_line)}; the script may go on"
            )
        if ended.code:
            raise DeployFailed(
                f"{address}: the script ended with exit code {ended.code}: {redactor.text(ended.last_line)}"
            )

    def command(self) -> str:
        """Return the command for the machine's shell."""
        arguments = " ".join(map(shlex.quote, self._arguments))
        command = _REMOTE + f'sh ./deploy.sh -c "$d" {arguments}'.rstrip()
        return f"sudo -n sh -c {shlex.quote(command)}" if self._sudo else f"sh -c {shlex.quote(command)}"

    @property
    def _sudo(self) -> bool:
        return self._settings.ssh_username != "root" if self._settings.sudo is None else self._settings.sudo

    def _target(self, machine: Machine, address: str) -> SshTarget:
        settings = self._settings
        # As a known_hosts file can have it: no signs that mean something there, and ssh looks for small letters.
        alias = re.sub(r"[^a-z0-9.-]", "_", f"{machine.provider}.{machine.id}".lower())
        if settings.ssh_host_key == "known":
            known_hosts = settings.ssh_known_hosts or os.path.expanduser("~/.ssh/known_hosts")
        elif settings.ssh_host_key == "accept-new":
            known_hosts = str(self._state / "known_hosts")
        else:
            write_known_hosts(self._host_key_file, alias, self._keys)
            known_hosts = str(self._host_key_file)
        return SshTarget(
            host=address, port=settings.ssh_port, username=settings.ssh_username, key_file=self._key_file,
            host_key=settings.ssh_host_key or (), known_hosts=known_hosts, alias=None if settings.ssh_host_key == "known" else alias,
        )  # fmt: skip

    def _archive(self, key: MinionKey | None) -> bytes:
        """Return the files for the machine, as tar has them."""
        minion = msgspec.json.format(msgspec.json.encode(self._minion))  # JSON is YAML
        files: list[tuple[str, bytes, int]] = [("deploy.sh", self._script, 0o700), ("minion", minion + b"\n", 0o600)]
        if key is not None:
            files.append(("minion.pem", key.private.reveal().encode(), 0o400))
            files.append(("minion.pub", key.public.encode(), 0o644))
        if self._settings.script_env:
            lines = (
                f"export {name}={shlex.quote(value.reveal())}\n" for name, value in self._settings.script_env.items()
            )
            files.append(("env", "".join(lines).encode(), 0o600))
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode="w") as archive:
            for name, content, mode in files:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), mode
                archive.addfile(entry, io.BytesIO(content))
        return whole.getvalue()


def _script(profile: Profile, folder: Path) -> tuple[Path, bytes]:
    setting = f"{profile.place}.script"
    name = profile.machine.script or ""
    places = [Path(name).expanduser()] if "/" in name else [folder / "cloud.deploy.d" / name]
    places += [place.with_name(f"{place.name}.sh") for place in places]
    for place in places:
        if place.exists():
            return place, read_own(place, setting).content
    raise InvalidSetting(setting, name, f"is not there: neither {places[0]} nor with .sh")


def _key_file(profile: Profile) -> str:
    setting = f"{profile.place}.private_key"
    path = Path(profile.machine.private_key or "").expanduser().absolute()
    content = read_own(path, setting, private=True).content
    if b"PRIVATE KEY" not in content:
        raise InvalidSetting(setting, str(path), "is no private key")
    return str(path)


def _arguments(profile: Profile) -> list[str]:
    given = profile.machine.script_args
    if not isinstance(given, str):
        return [str(one) for one in given]
    try:
        return shlex.split(given)
    except ValueError as error:
        raise InvalidSetting(f"{profile.place}.script_args", given, f"cannot be cut into words: {error}") from error


def _minion(name: str, profile: Profile) -> dict[str, Any]:
    """Return the minion's configuration."""
    grains: Any = profile.machine.minion.get("grains", {})
    if not isinstance(grains, dict):
        raise InvalidSetting(f"{profile.place}.minion.grains", grains, "must be a map")
    both = {**cast("dict[str, Any]", grains), **profile.machine.grains}
    return {"id": name, **profile.machine.minion, **({"grains": both} if both else {})}
