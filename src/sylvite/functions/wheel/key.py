"""Look after keys: which minions are let in."""

# The signatures are Salt's.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import load_public
from sylvite.auth.keyring_values import Key, State
from sylvite.auth.keys import make_pair
from sylvite.functions import key_lists as lists
from sylvite.functions.given import __bus__, __opts__

__func_alias__ = {"list_": "list"}
__secret__ = ("gen", "gen_accept")

Lists = dict[str, list[str]]


def list_(match: str) -> Lists:
    """
    Return the ids of one list.

    match
        accepted, unaccepted (or pre), rejected, denied, revoked, all; or the
        beginning of it.

    CLI Example:

        sylvite wheel key.list accepted
    """
    with lists.opened(__opts__) as keyring:
        found = lists.all_lists(keyring)
        return {name: found.get(name, []) for name in lists.lists_named(match)}


def list_all() -> Lists:
    """
    Return all lists of ids, and the files of the master's own key.

    CLI Example:

        sylvite wheel key.list_all
    """
    with lists.opened(__opts__) as keyring:
        return lists.all_lists(keyring)


def name_match(match: str) -> Lists:
    """
    Return the ids that fit a shell pattern, by list.

    CLI Example:

        sylvite wheel key.name_match 'web*'
    """
    with lists.opened(__opts__) as keyring:
        return lists.ids_by_list(lists.matching(keyring, match))


def accept(match: str, include_rejected: bool = False, include_denied: bool = False) -> Lists:
    """
    Let minions in that wait; return the lists of all that fit.

    match
        A shell pattern; several are parted by commas.
    include_rejected
        Those that were rejected too.
    include_denied
        Those that were denied too, where their id is free by now.

    CLI Example:

        sylvite wheel key.accept 'web*'
    """
    takes = {State.PENDING}
    if include_rejected:
        takes.add(State.REJECTED)
    if include_denied:
        takes.add(State.DENIED)
    return _move_matching(Keyring.accept, match, takes)


def accept_dict(
    match: Mapping[str, Sequence[str]], include_rejected: bool = False, include_denied: bool = False
) -> Lists:
    """
    Let minions in, by list and id; return the lists of those.

    CLI Example:

        sylvite wheel key.accept_dict '{minions_pre: [web1, web2]}'
    """
    del include_rejected, include_denied  # The lists say it.
    return _move_chosen(Keyring.accept, match)


def reject(match: str, include_accepted: bool = False, include_denied: bool = False) -> Lists:
    """
    Turn minions away that wait; return the lists of all that fit.

    include_accepted
        Those that were accepted too: their keys are revoked, and never come
        back.
    include_denied
        Has nothing to do: what is denied is turned away already.

    CLI Example:

        sylvite wheel key.reject 'test-*'
    """
    del include_denied
    if include_accepted:
        _move_matching(Keyring.revoke, match, {State.ACCEPTED})
    return _move_matching(Keyring.reject, match, {State.PENDING})


def reject_dict(
    match: Mapping[str, Sequence[str]], include_accepted: bool = False, include_denied: bool = False
) -> Lists:
    """
    Turn minions away, by list and id; return the lists of those.

    CLI Example:

        sylvite wheel key.reject_dict '{minions_pre: [test-1]}'
    """
    del include_accepted, include_denied  # The lists say it.
    return _move_chosen(Keyring.reject, match)


def revoke(match: str) -> Lists:
    """
    Take accepted keys back, at once and for ever; return the lists of all that fit.

    CLI Example:

        sylvite wheel key.revoke web2
    """
    return _move_matching(Keyring.revoke, match, {State.ACCEPTED})


def delete(match: str) -> Lists:
    """
    Forget keys, so that their ids are free. Nothing that fits is left: the answer is empty.

    CLI Example:

        sylvite wheel key.delete 'old-*'
    """
    return _move_matching(Keyring.delete, match, set(State))


def delete_dict(match: Mapping[str, Sequence[str]]) -> Lists:
    """
    Forget keys, by list and id.

    CLI Example:

        sylvite wheel key.delete_dict '{minions_rejected: [web3]}'
    """
    return _move_chosen(Keyring.delete, match)


def key_str(match: str) -> dict[str, dict[str, str]]:
    """
    Return the public keys that fit, by list and id.

    CLI Example:

        sylvite wheel key.key_str web1
    """
    with lists.opened(__opts__) as keyring:
        return lists.by_list(lists.matching(keyring, match), lambda key: key.public.pem)


def finger(match: str, hash_type: str | None = None) -> dict[str, dict[str, str]]:
    """
    Return the fingerprints of the keys that fit, by list and id.

    hash_type
        Is SHA-256, whatever is asked for.

    CLI Example:

        sylvite wheel key.finger 'web*'
    """
    del hash_type
    with lists.opened(__opts__) as keyring:
        return lists.by_list(lists.matching(keyring, match), lambda key: str(key.fingerprint))


def finger_master(hash_type: str | None = None) -> dict[str, dict[str, str]]:
    """
    Return the fingerprint of the master's own key.

    CLI Example:

        sylvite wheel key.finger_master
    """
    del hash_type
    with lists.opened(__opts__) as keyring:
        public = load_public(keyring.folder, lists.MASTER)
        return {"local": {f"{lists.MASTER}.pub": str(public.fingerprint)}}


def gen(id_: str | None = None, keysize: int | None = None) -> dict[str, str]:
    """
    Make a pair of keys for a minion, and return both. Nothing is kept of it.

    keysize
        Has no meaning: keys are Ed25519.

    CLI Example:

        sylvite wheel key.gen
    """
    del id_, keysize
    pair = make_pair()
    return {"priv": pair.pem().decode(), "pub": pair.public.pem}


def gen_accept(id_: str, keysize: int | None = None, force: bool = False) -> dict[str, str]:
    """
    Make a pair of keys for a minion, and return both; the minion is let in as soon as it asks with it.

    force
        Forget what is known of the id. Without it nothing is done where
        something is, and the answer is empty.

    CLI Example:

        sylvite wheel key.gen_accept web4
    """
    del keysize
    with lists.opened(__opts__) as keyring:
        known = keyring.all_keys(id_)
        if known and not force:
            return {}
        lists.move(keyring, __bus__, Keyring.delete, known)
        pair = make_pair()
        keyring.expect(id_, pair.fingerprint, time.time_ns())
    return {"priv": pair.pem().decode(), "pub": pair.public.pem}


def _move_matching(act: lists.Act, match: str, takes: set[State]) -> Lists:
    with lists.opened(__opts__) as keyring:
        keys = [key for key in lists.matching(keyring, match) if key.state in takes]
        lists.move(keyring, __bus__, act, keys)
        return lists.ids_by_list(lists.matching(keyring, match))


def _move_chosen(act: lists.Act, wanted: Mapping[str, Sequence[str]]) -> Lists:
    if not isinstance(wanted, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - it comes from a command line
        raise lists.UnknownList(f"match must be a map of lists of ids, such as {{minions_pre: [web1]}}, not {wanted!r}")
    with lists.opened(__opts__) as keyring:
        keys = lists.chosen(keyring, wanted)
        lists.move(keyring, __bus__, act, keys)
        return lists.ids_by_list(_left_of(keyring, keys))


def _left_of(keyring: Keyring, keys: Sequence[Key]) -> list[Key]:
    """Return what has become of keys; those that were forgotten are left out."""
    wanted = {(key.id, key.fingerprint) for key in keys}
    return [key for key in keyring.all_keys() if (key.id, key.fingerprint) in wanted]
