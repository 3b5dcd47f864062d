"""`salt.key` and `salt.utils.minions`: which minions there are, as programs beside a master ask for them."""

# The signatures are Salt's.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sylvite.compat.clients import WheelClient
from sylvite.errors import InvalidTarget
from sylvite.functions.arguments import Arguments
from sylvite.functions.execute import call_function
from sylvite.jobs.client_core import KEYS
from sylvite.jobs.minions import FILE
from sylvite.jobs.roster import Roster
from sylvite.jobs.targets import parse_target

Lists = dict[str, list[str]]
LISTS = ("minions_pre", "minions_rejected", "minions", "minions_denied")
"""In the order that Salt has them in."""


class Key:
    """The keys of minions: lists of them, and the moves between these.  No run is announced, as there would be for a wheel function."""

    def __init__(self, opts: Mapping[str, Any], io_loop: object = None) -> None:
        del io_loop
        self.opts = dict(opts)
        self._client = WheelClient(self.opts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.destroy()

    def destroy(self) -> None:
        self._client.close()

    def list_keys(self) -> Lists:
        """Return the ids, by list."""
        found: Lists = self._call("list_all")
        return {name: found.get(name, []) for name in LISTS}

    def all_keys(self) -> Lists:
        """As `list_keys`, with the files of the master's own key."""
        return {**self.list_keys(), "local": self._call("list_all").get("local", [])}

    def list_status(self, match: str) -> Lists:
        """Return the ids of one list: acc, pre (or un), rej, den, all; or more of the word."""
        found: Lists = self._call("list", match=match)
        return self.all_keys() if "all".startswith(match) and match else found

    def accept(
        self,
        match: str | None = None,
        match_dict: Mapping[str, Sequence[str]] | None = None,
        include_rejected: bool = False,
        include_denied: bool = False,
    ) -> Lists:
        """Accept keys; return those that are accepted by it."""
        more = {"include_rejected": include_rejected, "include_denied": include_denied}
        return self._move("accept", match, match_dict, more)

    def reject(
        self,
        match: str | None = None,
        match_dict: Mapping[str, Sequence[str]] | None = None,
        include_accepted: bool = False,
        include_denied: bool = False,
    ) -> Lists:
        """Reject keys; return those that are rejected by it."""
        more = {"include_accepted": include_accepted, "include_denied": include_denied}
        return self._move("reject", match, match_dict, more)

    def delete_key(
        self,
        match: str | None = None,
        match_dict: Mapping[str, Sequence[str]] | None = None,
        preserve_minions: bool | None = None,
        revoke_auth: bool = False,
    ) -> Lists:
        """Delete keys."""
        del preserve_minions, revoke_auth
        return self._move("delete", match, match_dict, {})

    def finger(self, match: str, hash_type: str | None = None) -> dict[str, dict[str, str]]:
        """Return the fingerprints of keys, by list and id."""
        return self._call("finger", match=match, hash_type=hash_type)

    def key_str(self, match: str) -> dict[str, dict[str, str]]:
        """Return keys, by list and id."""
        return self._call("key_str", match=match)

    def _move(
        self, act: str, match: str | None, match_dict: Mapping[str, Sequence[str]] | None, more: Mapping[str, bool]
    ) -> Lists:
        if match is not None:
            return self._call(act, match=match, **more)
        return self._call(f"{act}_dict", match=match_dict or {}, **more)

    def _call(self, name: str, **given: Any) -> Any:
        function = self._client.functions.find(f"key.{name}")
        return call_function(f"key.{name}", function, Arguments([], given))


def get_key(opts: Mapping[str, Any]) -> Key:
    return Key(opts)


class CkMinions:
    """Which minions are meant, and which are here."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self.opts = dict(opts)
        folder = Path(self.opts["data_dir"])
        self._roster = Roster(folder / KEYS, folder / FILE)

    def connected_ids(self, subset: Sequence[str] | None = None, show_ip: bool = False) -> set[str]:
        """Return who is here now: each has a session of its own, whatever addresses it has.  `show_ip` has no meaning."""
        del show_ip
        present = set(self._roster.read(with_grains=False).present or ())
        return present if subset is None else present & set(subset)

    def check_minions(
        self,
        expr: str | Sequence[str],
        tgt_type: str = "glob",
        delimiter: str = ":",
        greedy: bool = True,
        fun: str | None = None,
    ) -> dict[str, Any]:
        """Return whom a target means, and whom it names that are not there; both empty where it cannot be read."""
        del greedy, fun
        try:
            target = parse_target(expr, tgt_type, delimiter=delimiter, nodegroups=self.opts.get("nodegroups") or {})
        except InvalidTarget:
            return {"minions": [], "missing": []}
        minions = self._roster.read(with_grains=target.needs_grains)
        return {"minions": minions.expected(target), "missing": minions.missing(target), "ssh_minions": False}
