"""See how minions are: asked, or as the link knows them."""

# The signatures are Salt's.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

from typing import Any

from sylvite.functions import master
from sylvite.functions.given import __bus__, __opts__
from sylvite.version import __version__


def status(
    output: bool = True,
    tgt: str = "*",
    tgt_type: str = "glob",
    timeout: float | None = None,
    gather_job_timeout: float | None = None,
) -> dict[str, list[str]]:
    """
    Ask minions whether they answer; return who is up and who is down.

    tgt, tgt_type
        Which minions.
    timeout
        Seconds without news until it is asked whether they still work on it.
    gather_job_timeout
        Seconds to wait for the answer to that.

    CLI Example:

        sylvite run manage.status
        sylvite run manage.status tgt='web*' timeout=1
    """
    del output
    answers = _ask("test.ping", tgt, tgt_type, timeout, gather_job_timeout)
    found: dict[str, list[str]] = {"up": [], "down": []}
    for minion in sorted(answers):
        found["down" if answers[minion] is False else "up"].append(minion)
    return found


def up(
    tgt: str = "*", tgt_type: str = "glob", timeout: float | None = None, gather_job_timeout: float | None = None
) -> list[str]:
    """
    Ask minions whether they answer; return those that do.

    CLI Example:

        sylvite run manage.up
        sylvite run manage.up tgt='web*' timeout=1
    """
    return status(False, tgt, tgt_type, timeout, gather_job_timeout)["up"]


def down(
    removekeys: bool = False,
    tgt: str = "*",
    tgt_type: str = "glob",
    timeout: float | None = None,
    gather_job_timeout: float | None = None,
) -> list[str]:
    """
    Ask minions whether they answer; return those that do not.

    removekeys
        Delete their keys.

    CLI Example:

        sylvite run manage.down
        sylvite run manage.down removekeys=True
    """
    found = status(False, tgt, tgt_type, timeout, gather_job_timeout)["down"]
    if removekeys:
        # Here: it brings what reads keys.
        from sylvite.auth.keyring import Keyring
        from sylvite.functions import key_lists

        with key_lists.opened(__opts__) as keyring:
            keys = [key for key in keyring.all_keys() if key.id in found]
            key_lists.move(keyring, __bus__, Keyring.delete, keys)
    return found


def present(subset: list[str] | None = None, show_ip: bool = False) -> Any:
    """
    Return the minions that are connected; nobody is asked.

    subset
        Only these.
    show_ip
        Return from where, too, by minion.

    CLI Example:

        sylvite run manage.present
        sylvite run manage.present show_ip=True
    """
    found = master.present(__opts__)
    chosen = {minion: found[minion] for minion in sorted(found) if subset is None or minion in subset}
    return chosen if show_ip else list(chosen)


def not_present(subset: list[str] | None = None, show_ip: bool = False) -> list[str]:
    """
    Return the minions that are let in, and not connected.

    CLI Example:

        sylvite run manage.not_present
    """
    del show_ip
    found = master.present(__opts__)
    return [
        minion for minion in master.accepted(__opts__) if minion not in found and (subset is None or minion in subset)
    ]


def list_state(subset: list[str] | None = None, show_ip: bool = False) -> Any:
    """
    As manage.present.

    CLI Example:

        sylvite run manage.list_state
    """
    return present(subset, show_ip)


def list_not_state(subset: list[str] | None = None, show_ip: bool = False) -> list[str]:
    """
    As manage.not_present.

    CLI Example:

        sylvite run manage.list_not_state
    """
    return not_present(subset, show_ip)


def alived(subset: list[str] | None = None, show_ip: bool = False) -> Any:
    """
    As manage.present: the session of a minion ends when nothing is heard of it any more.

    CLI Example:

        sylvite run manage.alived
    """
    return present(subset, show_ip)


def not_alived(subset: list[str] | None = None, show_ip: bool = False) -> list[str]:
    """
    As manage.not_present.

    CLI Example:

        sylvite run manage.not_alived
    """
    return not_present(subset, show_ip)


def versions(timeout: float | None = None, gather_job_timeout: float | None = None) -> dict[str, Any]:
    """
    Ask minions for their version; return them beside that of the master.

    CLI Example:

        sylvite run manage.versions
    """
    found: dict[str, Any] = {"Master": __version__}
    ours = _numbers(__version__)
    for minion, said in sorted(_ask("test.version", "*", "glob", timeout, gather_job_timeout).items()):
        if said is False:
            label = "Minion offline"
        elif _numbers(said) == ours:
            label = "Up to date"
        else:
            label = "Minion requires update" if _numbers(said) < ours else "Minion newer than master"
        found.setdefault(label, {})[minion] = said
    return found


def _numbers(version: object) -> list[int]:
    return [int(part) for part in str(version).split(".") if part.isdigit()]


def _ask(fun: str, tgt: str, tgt_type: str, timeout: float | None, gather: float | None) -> dict[str, Any]:
    """Return what each minion says; False for one that has not answered."""
    opts = __opts__ if gather is None else {**__opts__, "gather_job_timeout": gather}
    with master.local_client(opts, __bus__) as client:
        return client.cmd(tgt, fun, tgt_type=tgt_type, timeout_s=timeout)
