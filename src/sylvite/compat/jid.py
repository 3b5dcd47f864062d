"""`salt.utils.jid`: job ids."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from sylvite.errors import InvalidJid
from sylvite.jobs.jid import JidMaker, parse_jid, start_time

_makers: dict[bool, JidMaker] = {}


def gen_jid(opts: Mapping[str, Any] | None = None) -> str:
    """Return a new job id; with the option `unique_jid`, the process behind it."""
    unique = bool(opts and opts.get("unique_jid"))
    if unique not in _makers:
        _makers[unique] = JidMaker(process=os.getpid() if unique else None)
    return _makers[unique].make(time.time_ns())


def is_jid(jid: Any) -> bool:
    if not isinstance(jid, str):
        return False
    try:
        parse_jid(jid)
    except InvalidJid:
        return False
    return True


def jid_to_time(jid: Any) -> str:
    """Return when it was made, such as `2026, Nov 23 22:47:30.771814`; an empty text for what is no job id."""
    return start_time(str(jid)) if is_jid(str(jid)) else ""
