"""See `sylvite.compat.jid`."""

from sylvite.compat.jid import gen_jid, is_jid, jid_to_time

__all__ = ["gen_jid", "is_jid", "jid_to_time"]
