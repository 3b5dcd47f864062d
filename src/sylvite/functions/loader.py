"""Loader: functions by name, of one kind, from files.

Lazy: `test.ping` runs the files named `test.py`, and all others only where there is no such function among them (their
`__virtual__` may give them that name).  A module of the operator's stands before one of ours, a file of the module's
name before one that takes it; what the first one has not is taken from the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sylvite.functions.absent import why_absent
from sylvite.functions.errors import FunctionNotAvailable, ModuleNotLoaded
from sylvite.functions.module import Function, Module, load_module
from sylvite.functions.sources import Source, list_sources


class Loader(Mapping[str, Function]):
    """The functions of one kind.  As a map it is what modules find as `__salt__`: a missing name is a KeyError."""

    def __init__(
        self, kind: str, folders: Iterable[Path], shipped: Iterable[Path], *, without: Iterable[str] = ()
    ) -> None:
        """`kind`: a word for messages.  `shipped`: the folders of those that come with Sylvite.

        `without`: modules that are not to be there.
        """
        self.kind = kind
        self.given: dict[str, Any] = {}
        self._folders, self._shipped, self._without = tuple(folders), tuple(shipped), frozenset(without)
        self._known: set[Source] = set()
        self._take(self._scan())

    # -- Names -------------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Function:
        if name not in self._functions:
            self._load_named(name.partition(".")[0])
        if name not in self._functions:
            self._load_all()
        return self._functions[name]

    def __iter__(self) -> Iterator[str]:
        self._load_all()
        return iter(sorted(self._functions))

    def __len__(self) -> int:
        self._load_all()
        return len(self._functions)

    def find(self, name: str) -> Function:
        """Return a function, of files as they are now.  Raises FunctionNotAvailable: it says why."""
        self.refresh()
        try:
            return self[name]
        except KeyError:
            reason = self._reasons.get(name.partition(".")[0]) or why_absent(name)
            raise FunctionNotAvailable(name, reason) from None

    @property
    def loaded(self) -> Mapping[str, str]:
        """The file of each module, all of them."""
        self._load_all()
        return MappingProxyType(self._files)

    @property
    def not_loaded(self) -> Mapping[str, str]:
        """Why the others are not there."""
        self._load_all()
        return MappingProxyType(self._reasons)

    def warm(self) -> None:
        """Load what is ours, so that it need not be done later; and take what the operator has by now as known."""
        for place, source in list(self._pending.items()):
            if source.own:
                self._load(place)
        self._known = set(self._sources)

    # -- Files -------------------------------------------------------------------------------------------------------

    def refresh(self) -> list[str]:
        """Look at the files again; where one has changed, forget all that was loaded.

        Returns the modules of the operator's own that are new or changed.
        """
        scanned = self._scan()
        if scanned == self._scanned:
            return []
        before = set(self._sources)
        self._take(scanned)
        return [source.name for source in self._sources if not source.own and source not in before]

    def news(self) -> list[str]:
        """Return the names of the operator's own files that are new or changed since `warm`; without it, all."""
        return sorted({source.name for source in self._sources if not source.own and source not in self._known})

    def _scan(self) -> tuple[list[Source], dict[str, str]]:
        """Return the files that there are, and for each folder that cannot be listed why."""
        found: list[Source] = []
        reasons: dict[str, str] = {}
        for folder in self._folders:
            try:
                found.extend(list_sources(folder, own=False))
            except ModuleNotLoaded as error:
                reasons[str(folder)] = str(error)
        for folder in self._shipped:
            found.extend(list_sources(folder, own=True))
        return found, reasons

    def _take(self, scanned: tuple[list[Source], dict[str, str]]) -> None:
        self._scanned = scanned
        self._sources, reasons = scanned
        self._functions: dict[str, Function] = {}
        self._ranks: dict[str, tuple[bool, int]] = {}
        self._files: dict[str, str] = {}
        self._reasons = dict(reasons)
        self._pending = dict(enumerate(self._sources))

    def _load_named(self, name: str) -> None:
        for place, source in list(self._pending.items()):
            if source.name == name:
                self._load(place)

    def _load_all(self) -> None:
        for place in list(self._pending):
            self._load(place)

    def _load(self, place: int) -> None:
        # Gone from the pending ones first: a module may look for functions while it is being loaded.
        source = self._pending.pop(place, None)
        if source is None:
            return
        try:
            self._check_wanted(source.name)
            module = load_module(source, self.kind, self.given)
            self._check_wanted(module.name)
        except ModuleNotLoaded as error:
            self._reasons.setdefault(source.name, str(error))
            return
        self._add(module, place)

    def _check_wanted(self, name: str) -> None:
        if name in self._without:
            raise ModuleNotLoaded(f"'{name}' is off: `disable_modules` in the configuration names it")

    def _add(self, module: Module, place: int) -> None:
        rank = (module.name != module.source.name, place)
        for name, function in module.functions.items():
            full = f"{module.name}.{name}"
            if full not in self._functions or rank < self._ranks[full]:
                self._functions[full], self._ranks[full] = function, rank
                self._files.setdefault(module.name, str(module.source.path))
