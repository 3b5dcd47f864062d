"""What can be set of functions.  Names are Salt's where the meaning is Salt's."""

from __future__ import annotations

from typing import Any

import msgspec


class FunctionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`id`: of this node; None takes the name of the machine.

    `module_dirs`, `runner_dirs`: folders with modules of your own.  `file_roots`: where else they are looked for, in
    `_modules` and `_runners` below each folder of `base`.
    `enable_modules`: of those that are off unless they are named here (`cmd`).  `disable_modules`: those to leave out.
    `grains`: more of them, or other values.  `options`: what modules of your own want to find in `__opts__`.
    """

    id: str | None = None
    module_dirs: tuple[str, ...] = ()
    runner_dirs: tuple[str, ...] = ()
    file_roots: dict[str, tuple[str, ...]] = msgspec.field(default_factory=lambda: {"base": ("/srv/salt",)})
    enable_modules: tuple[str, ...] = ()
    disable_modules: tuple[str, ...] = ()
    saltenv: str | None = None
    pillarenv: str | None = None
    grains: dict[str, Any] = {}
    options: dict[str, Any] = {}


def make_opts(settings: FunctionSettings) -> dict[str, Any]:
    """Return what a function finds in `__opts__`: the settings, and above them those in `options`."""
    found = msgspec.to_builtins(settings)
    assert isinstance(found, dict)
    own: dict[str, Any] = {str(name): value for name, value in found.items() if name != "options"}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - to_builtins gives Any
    return {**settings.options, **own}
