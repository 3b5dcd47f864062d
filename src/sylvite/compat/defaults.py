"""Default options by Salt's names: what `salt.config.DEFAULT_MASTER_OPTS` and `DEFAULT_MINION_OPTS` hold.

Folders and ports are Sylvite's own, as `sylvite config explain` shows them; the others are as Salt has them.
Source: spec of Salt's event system, 1.2.
"""

from __future__ import annotations

from typing import Any

SALT_FOLDER = "/etc/salt"
"""Where Salt has its configuration."""
SALT_SOCK_DIRS = {"master": "/var/run/salt/master", "minion": "/var/run/salt/minion"}
"""Where Salt has its sockets: scripts often say it in so many words."""

SOCK_DIRS = {"master": "/var/run/sylvite/master", "minion": "/var/run/sylvite/minion"}

_BOTH: dict[str, Any] = {
    "ipc_mode": "ipc",
    "ipc_write_buffer": 0,
    "transport": "zeromq",
    "max_event_size": 1_048_576,
    "event_match_type": "startswith",
    "hash_type": "sha256",
    "state_events": False,
    "engines": [],
    "sign_pub_messages": True,
    "root_dir": "/",
    "user": "root",
}

DEFAULT_MASTER_OPTS: dict[str, Any] = {
    **_BOTH,
    "__role": "master",
    "interface": "0.0.0.0",  # noqa: S104 - as Salt
    "publish_port": 4505,
    "ret_port": 4507,
    "sock_dir": SOCK_DIRS["master"],
    "data_dir": "/var/lib/sylvite/master",
    "cachedir": "/var/cache/sylvite/master",
    "pki_dir": "/etc/sylvite/pki/master",
    "conf_file": "/etc/salt/master",
    "tcp_master_pub_port": 4512,
    "tcp_master_pull_port": 4513,
    "tcp_master_publish_pull": 4514,
    "tcp_master_workers": 4515,
    "publish_drain_timeout": 60.0,
    "pub_server_write_queue_size": 10_000,
    "event_return": "",
    "event_return_queue": 0,
    "event_return_whitelist": [],
    "event_return_blacklist": [],
    "auth_events": True,
    "minion_data_cache": True,
    "minion_data_cache_events": True,
    "fileserver_events": False,
    "loop_interval": 60,
    "reactor": [],
    "reactor_refresh_interval": 60,
    "reactor_worker_threads": 10,
    "reactor_worker_hwm": 10_000,
    "open_mode": False,
    "auto_accept": False,
    "job_cache": True,
    "master_job_cache": "local_cache",
    "keep_jobs_seconds": 86_400,
    "ext_job_cache": "",
    "timeout": 5,
    "gather_job_timeout": 10,
    "token_expire": 43_200,
    "eauth_tokens": "localfs",
    "external_auth": {},
    "keep_acl_in_token": False,
    "netapi_enable_clients": [],
    "order_masters": False,
}

DEFAULT_MINION_OPTS: dict[str, Any] = {
    **_BOTH,
    "__role": "minion",
    "id": "",
    "master": "salt",
    "master_port": 4507,
    "sock_dir": SOCK_DIRS["minion"],
    "data_dir": "/var/lib/sylvite/minion",
    "cachedir": "/var/cache/sylvite/minion",
    "pki_dir": "/etc/sylvite/pki/minion",
    "conf_file": "/etc/salt/minion",
    "tcp_pub_port": 4510,
    "tcp_pull_port": 4511,
    "enable_legacy_startup_events": True,
    "start_event_grains": [],
    "ping_interval": 0,
    "acceptance_wait_time": 10,
    "acceptance_wait_time_max": 0,
    "rejected_retry": False,
    "auth_timeout": 5,
    "auth_tries": 7,
    "return_retry_timer": 5,
    "return_retry_timer_max": 10,
    "return_retry_tries": 3,
    "recon_default": 1000,
    "recon_max": 10_000,
    "recon_randomize": True,
    "file_client": "remote",
    "local": False,
    "use_master_when_local": False,
    "master_type": "str",
    "beacons": {},
    "schedule": {},
    "reactor": [],
    "minion_jid_queue_hwm": 100,
}


def default_opts(node: str) -> dict[str, Any]:
    return DEFAULT_MASTER_OPTS if node == "master" else DEFAULT_MINION_OPTS
