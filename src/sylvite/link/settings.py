"""What can be set of a master's end of the link."""

from __future__ import annotations

import msgspec

from sylvite.jobs.collecting import GATHER_S, TIMEOUT_S


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`name`: what minions are told of this master; the other names are those of a master's options.

    `connections_max`: of minions that were let in and of those that were not, together.  `line_max`: of those that have
    shown nothing yet, `line_per_address_max` of them from one address; and for `half_open_max` of them a handshake may be
    under way.  `job_wait_s`: how old a job may be that was published while the link was away: for so long it is waited for.
    """

    name: str = "master"
    auth_events: bool = True
    presence_events: bool = False
    loop_interval_s: float = 60.0
    max_minions: int | None = None
    unique_jid: bool = False
    minion_data_cache: bool = True
    minion_data_cache_events: bool = True
    connections_max: int = 16_384
    line_max: int = 4000
    line_per_address_max: int = 2000
    half_open_max: int = 1000
    job_wait_s: float = TIMEOUT_S + GATHER_S
