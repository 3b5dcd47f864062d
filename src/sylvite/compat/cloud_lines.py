"""The command line of `salt-cloud`, as one of `sylvite cloud`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sylvite.compat.command_lines import Option, Translated, UsageError, read_options
from sylvite.compat.defaults import SALT_FOLDER


def _value(names: str, becomes: str = "") -> Option:
    return Option(names, becomes, has_value=True)


_OPTIONS = (
    _value("-p --profile", "create"), Option("-d --destroy", "destroy"), _value("-a --action", "action"), Option("-Q --query", "list"),
    Option("-F --full-query", "list"), Option("-S --select-query", "list"), Option("--list-providers", "providers"),
    _value("--list-profiles", "profiles"), _value("-c --config-dir", "config"), Option("-y --assume-yes", "yes"),
    Option("--out-file-append"), Option("-P --parallel"), Option("--hard-crash"), Option("-k --keep-tmp"), _value("-l --log-level"),
    _value("--log-file"), _value("--log-file-level"), _value("--saltfile"), Option("--no-color --no-colour"),
    Option("--force-color --force-colour"), _value("--out --output", "out"), _value("--out-indent --output-indent"),
    _value("--state-output --state_output"), _value("--state-verbose --state_verbose"),
)  # fmt: skip
_ACTIONS = ("create", "destroy", "action", "list", "providers", "profiles")


def translate_cloud(typed: Sequence[str]) -> Translated:
    """Return what a command line of `salt-cloud` means.

    Raises:
        UsageError: an option that there is not here, or not one thing to do.
    """
    given: dict[str, str] = {}
    names: list[str] = []
    for word, option, value in read_options(_OPTIONS, typed):
        if option is None:
            names.append(word)
        elif option.becomes:
            given[option.becomes] = value
    wanted = [action for action in _ACTIONS if action in given]
    if len(wanted) != 1:
        raise UsageError(
            "one of --profile, --destroy, --action, --query, --list-providers and --list-profiles is needed"
        )
    action = wanted[0]
    options = ["--config-dir", folder] if (folder := _folder(given.get("config"))) is not None else []
    if action == "destroy" and "yes" in given:
        options.append("--yes")
    first = [given[action]] if action in ("create", "action") else []
    everywhere = ["--json"] if given.get("out") == "json" else []
    # What is listed is listed whole: names would be read as something else.
    rest = [*first, *names] if action in ("create", "destroy", "action") else []
    return Translated([*everywhere, "cloud", action, *options, "--", *rest], [], {})


def _folder(named: str | None) -> str | None:
    """Return the folder of the configuration; None where Sylvite's own counts."""
    found = named or os.environ.get("SALT_CONFIG_DIR")
    if found is not None:
        return found
    has_clouds = any(
        os.path.exists(os.path.join(SALT_FOLDER, name)) for name in ("cloud.providers", "cloud.providers.d")
    )
    return SALT_FOLDER if has_clouds else None
