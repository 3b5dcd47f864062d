"""Machine: what is known of one at a provider.  Plain values: no object of a driver goes further than cloud/driver.py."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from sylvite.errors import InvalidInput

NAME_CHARACTERS_MAX = 128
GONE = frozenset(("terminated",))
"""States in which a machine is not there any more, though some providers list it for a while."""
BROKEN = frozenset(("error",))
_name = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?", re.ASCII).fullmatch


class Machine(msgspec.Struct, frozen=True):
    """`id`: the provider's, as text.  `state`: libcloud's word in small letters: running, pending, stopped, error, ..."""

    id: str
    name: str
    provider: str
    driver: str
    state: str
    public_ips: tuple[str, ...] = ()
    private_ips: tuple[str, ...] = ()
    size: str = ""
    image: str = ""

    @property
    def is_gone(self) -> bool:
        return self.state in GONE

    def facts(self) -> dict[str, Any]:
        """What of it goes into the events of the cache, and into the cache."""
        return {
            "id": self.id,
            "name": self.name,
            "provider": self.provider,
            "driver": self.driver,
            "state": self.state,
            "public_ips": list(self.public_ips),
            "private_ips": list(self.private_ips),
            "size": self.size,
            "image": self.image,
        }


def is_name(name: str) -> bool:
    return len(name) <= NAME_CHARACTERS_MAX and _name(name) is not None


def check_name(name: str) -> str:
    """Return the name.  It becomes a part of a tag, a minion's id and a host's name: letters, digits, `.`, `_`, `-`.

    Raises:
        InvalidInput: it is none.
    """
    if not is_name(name):
        raise InvalidInput(
            f"{name[:80]!r} cannot be the name of a machine: letters, digits, '.', '_' and '-', at most {NAME_CHARACTERS_MAX}, "
            "the first and the last a letter or digit"
        )
    return name


def tag_part(name: str, identity: str) -> str:
    """Return what stands for a machine in a tag: its name, where that is one; providers take what we would not."""
    if is_name(name):
        return name
    plain = "".join(one if one.isalnum() and one.isascii() else "_" for one in identity)
    return plain[:NAME_CHARACTERS_MAX] or "_"
