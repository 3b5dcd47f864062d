"""`salt.config`: the options of a master or minion as the map that programs written for Salt read.

The file may be Sylvite's or Salt's, and is read as the daemons read it (docs/configuration.md); what it does not say has its
default.  Where the usual file of Salt is named and is not there, that of Sylvite counts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from sylvite.compat.defaults import DEFAULT_MASTER_OPTS, DEFAULT_MINION_OPTS, SALT_FOLDER, default_opts
from sylvite.compat.exceptions import SaltConfigurationError
from sylvite.config import read_file, read_yaml
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.minion import MinionOptions
from sylvite.daemons.options.opts import make_opts
from sylvite.daemons.options.reading import load, usual_file
from sylvite.errors import InvalidSetting

__all__ = ["DEFAULT_MASTER_OPTS", "DEFAULT_MINION_OPTS", "client_config", "get_id", "master_config", "minion_config"]

OwnPath = str | os.PathLike[str] | None


def master_config(
    path: OwnPath | Mapping[str, Any],
    env_var: str = "SALT_MASTER_CONFIG",
    defaults: Mapping[str, Any] | None = None,
    exit_on_config_errors: bool = False,  # noqa: FBT001, FBT002 - the signature is Salt's
) -> dict[str, Any]:
    """Return the options of a master.  `path`: of its file; None, or a map of options, for the defaults with these.

    Raises:
        SaltConfigurationError: the file cannot be used; the message says where and why.
    """
    del exit_on_config_errors
    return _options("master", path, env_var, defaults)


def minion_config(
    path: OwnPath | Mapping[str, Any],
    env_var: str = "SALT_MINION_CONFIG",
    defaults: Mapping[str, Any] | None = None,
    cache_minion_id: bool = False,  # noqa: FBT001, FBT002 - the signature is Salt's
    ignore_config_errors: bool = True,  # noqa: FBT001, FBT002
    minion_id: str | None = None,
    role: str = "minion",
) -> dict[str, Any]:
    """Return the options of a minion, as `master_config` does.  `minion_id`: its id, whatever the file says."""
    del cache_minion_id, ignore_config_errors
    opts = _options("minion", path, env_var, defaults)
    if minion_id:
        opts["id"] = str(minion_id)
    opts["__role"] = role
    return opts


def client_config(
    path: OwnPath | Mapping[str, Any],
    env_var: str = "SALT_CLIENT_CONFIG",
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the options of the master on this machine, as a program beside it needs them, with those of `~/.saltrc`."""
    master_variable = "SALT_MASTER_CONFIG" if env_var not in os.environ else env_var
    opts = _options("master", path, master_variable, defaults)
    opts.update(_personal())
    opts.setdefault("token_file", _token_file())
    token = Path(os.path.expanduser(str(opts["token_file"])))
    if token.is_file():
        opts["token"] = token.read_text(encoding="utf-8").strip()
    opts["interface"] = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(opts["interface"], opts["interface"])  # noqa: S104
    opts["master_uri"] = f"tcp://{opts['interface']}:{opts['ret_port']}"
    return opts


def _personal() -> dict[str, Any]:
    """Return what the user's own file says."""
    path = os.path.expanduser("~/.saltrc")
    if not os.path.isfile(path):
        return {}
    try:
        found = read_yaml(read_file(Path(path)), path, {})
    except InvalidSetting as error:
        raise SaltConfigurationError(str(error)) from error
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _token_file() -> str:
    folder = os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "salt")
    return os.path.join(folder, "salt_token") if os.path.isdir(folder) else os.path.expanduser("~/salt_token")


def _options(
    node: str, path: OwnPath | Mapping[str, Any], variable: str, defaults: Mapping[str, Any] | None
) -> dict[str, Any]:
    given = {name: value for name, value in path.items() if name != "id" or value} if isinstance(path, Mapping) else {}
    file = _file(node, None if isinstance(path, Mapping) else path, variable)
    base = {**default_opts(node), **(defaults or {})}
    if file is None:
        opts = {**base, **_read(node, Path(SALT_FOLDER) / node, read=False), **(defaults or {}), **given}
    else:
        opts = {**base, **_read(node, file, read=True), **given}
    opts["__role"] = node
    opts["__cli"] = os.path.basename(sys.argv[0])
    opts["conf_file"] = str(file or path or "") if not given else ""
    opts["config_dir"] = os.path.dirname(opts["conf_file"]) or SALT_FOLDER
    opts["token_dir"] = os.path.join(opts["cachedir"], "tokens")
    opts["syndic_dir"] = os.path.join(opts["cachedir"], "syndics")
    opts["hash_type"] = str(opts["hash_type"]).lower()
    for name in ("open_mode", "auto_accept"):
        opts[name] = opts.get(name) is True
    return opts


def _file(node: str, path: OwnPath, variable: str) -> Path | None:
    """Return the file to read: where the usual one is meant, the variable's, Salt's, or Sylvite's."""
    if path is None:
        return None
    file = Path(os.path.abspath(os.path.expanduser(path)))
    usual = Path(os.environ.get("SALT_CONFIG_DIR") or SALT_FOLDER) / node
    if file in (usual, Path(SALT_FOLDER) / node):
        if variable in os.environ:
            return Path(os.path.expanduser(os.environ[variable]))
        if not usual.is_file():
            return own if (own := usual_file(node)).is_file() else None
        return usual
    return file if file.is_file() else None


def _read(node: str, path: Path, *, read: bool) -> dict[str, Any]:
    """Return what a file says; without `read`, only what follows from this machine, such as the id."""
    file = path if read else Path(os.devnull) / "none"
    loaded = load(MasterOptions, file, required=read) if node == "master" else load(MinionOptions, file, required=read)
    if loaded.errors:
        raise SaltConfigurationError("; ".join(map(str, loaded.errors)))
    # Salt's lists are lists.
    opts: dict[str, Any] = {
        name: list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value
        for name, value in make_opts(loaded).items()
    }
    if node == "minion" and len(opts["master"]) == 1:
        opts["master"] = opts["master"][0]
    return opts


def get_id(opts: Mapping[str, Any]) -> str:
    """Return the id of a node."""
    return str(opts.get("id") or minion_config(None)["id"])
