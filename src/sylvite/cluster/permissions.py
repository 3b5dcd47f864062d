"""Permissions: what a master may do at the servers of NATS.  No master may speak for another one."""

from __future__ import annotations

from sylvite.cluster import claim, leases, positions, shared, stream
from sylvite.cluster.dev import Allowed
from sylvite.cluster.settings import ClusterSettings


def allowed_of(settings: ClusterSettings, node: str) -> Allowed:
    """Return the subjects that the user of a master needs, and no others."""
    about_itself = ("$SYS.REQ.USER.INFO", "$JS.API.INFO")
    return Allowed(
        (
            *stream.may_publish(settings, node),
            *leases.may_publish(settings),
            *shared.may_publish(settings, node),
            *positions.may_publish(settings),
            *claim.may_publish(settings),
            *about_itself,
        ),
        ("_INBOX.>", stream.say_subject(settings)),
    )
