"""Library: the functions of one process, of every kind, as its context has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from sylvite.functions.context import Context
from sylvite.functions.jid_event import JidEvent
from sylvite.functions.loader import Loader

_HERE = Path(__file__).parent
_KINDS = {
    "module": ("module_dirs", "_modules", ("execution", "shared")),
    "runner": ("runner_dirs", "_runners", ("runners", "shared")),
    "wheel": ("wheel_dirs", "_wheel", ("wheel",)),
    "beacon": ("beacon_dirs", "_beacons", ("beacons",)),
}
"""By the word for a kind: the option with its folders, the folder below file_roots, and those of what is ours."""


class Library:
    """`execution`, `runners`, `wheel`, `beacons`: what there is of each kind.  `state`: what functions find as `__context__`.

    `loaders`: the same by the word that stands for the kind.
    """

    def __init__(self, context: Context) -> None:
        """Nothing is run yet: modules are loaded when a function of theirs is wanted."""
        self.context = context
        self.state: dict[str, Any] = {}
        self.jid_event = JidEvent(context.bus)
        opts = context.opts
        without = cast("tuple[str, ...]", tuple(opts.get("disable_modules", ())))
        self.loaders = {
            word: Loader(word, _folders(opts, setting, below), [_HERE / each for each in shipped], without=without)
            for word, (setting, below, shipped) in _KINDS.items()
        }
        self.execution, self.runners, self.wheel, self.beacons = self.loaders.values()
        for loader in self.loaders.values():
            loader.given = self._given(loader)
        # What a beacon calls are execution functions.
        self.beacons.given = {**self._given(self.execution), "__reload__": self.beacons.refresh}

    def _given(self, loader: Loader) -> dict[str, Any]:
        """Return what stands among the globals of each module: the names of given.py."""
        context = self.context
        return {
            "__salt__": loader,
            "__beacons__": self.beacons,
            "__loaders__": self.loaders,
            "__runners__": self.runners,
            "__opts__": context.opts,
            "__grains__": context.grains,
            "__pillar__": context.pillar,
            "__context__": self.state,
            "__bus__": context.bus,
            "__jid_event__": self.jid_event,
            "__reload__": loader.refresh,
            "__news__": loader.news,
            "__loaded__": _Late(loader, "loaded"),
            "__not_loaded__": _Late(loader, "not_loaded"),
        }


class _Late(Mapping[str, str]):
    """A map of the loader that is made when somebody looks: making it runs every module."""

    def __init__(self, loader: Loader, name: str) -> None:
        self._loader, self._name = loader, name

    def _found(self) -> Mapping[str, str]:
        return cast("Mapping[str, str]", getattr(self._loader, self._name))

    def __getitem__(self, name: str) -> str:
        return self._found()[name]

    def __iter__(self) -> Any:
        return iter(self._found())

    def __len__(self) -> int:
        return len(self._found())


def _folders(opts: Mapping[str, Any], setting: str, below_roots: str) -> list[Path]:
    roots = cast("Mapping[str, tuple[str, ...]]", opts.get("file_roots", {})).get("base", ())
    named = cast("tuple[str, ...]", tuple(opts.get(setting, ())))
    return [Path(folder).absolute() for folder in named] + [Path(root).absolute() / below_roots for root in roots]
