"""Changing options: which of those that have changed count only from the next start on."""

from __future__ import annotations

import msgspec

from sylvite.broker.settings import BrokerSettings
from sylvite.daemons.options.node import NodeOptions, fields_of

AT_START = frozenset(
    (
        "id", "root_dir", "sock_dir", "pki_dir", "cachedir", "data_dir", "ipc_mode", "salt_sockets", "salt_socket_framing",
        "tcp_master_pub_port", "tcp_master_pull_port", "tcp_pub_port", "tcp_pull_port", "hash_type",
        # Of a master
        "interface", "ret_port", "job_cache", "rest_cherrypy", "netapi_enable_clients", "external_auth", "token_expire",
        "sharedsecret", "pam_service",
        # Of a minion
        "master", "master_port", "master_type", "random_master", "master_finger", "file_client", "use_master_when_local",
        "auth_timeout", "acceptance_wait_time", "acceptance_wait_time_max", "rejected_retry", "wrong_master_retry",
        "recon_default", "recon_max", "recon_randomize", "ping_interval", "process_count_max", "minion_jid_queue_hwm", "grains",
    )
)  # fmt: skip
"""All others count at once when the files are read again, or are read anew by each command that needs them."""


def wants_start(before: NodeOptions, after: NodeOptions) -> list[str]:
    """Return the names of the options that have changed and count from the next start on."""
    found = [
        field.encode_name
        for field in fields_of(after)
        if field.encode_name in AT_START and getattr(before, field.name) != getattr(after, field.name)
    ]
    return found + [f"broker.{name}" for name in broker_wants_start(before.broker, after.broker)]


def broker_wants_start(before: BrokerSettings, after: BrokerSettings) -> list[str]:
    """Return the settings of a broker of which that holds, such as `log.keep_bytes`: all but the policy."""
    found: list[str] = []
    for part in ("log", "limits"):
        one, other = getattr(before, part), getattr(after, part)
        names = (field.name for field in msgspec.structs.fields(other))
        found += [f"{part}.{name}" for name in names if getattr(one, name) != getattr(other, name)]
    return found
