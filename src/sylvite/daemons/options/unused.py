"""Options of Salt that have no meaning here, each with the reason: a file written for Salt is read, and says so once.

Their values are kept beside the options: functions and programs of one's own may look for them.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

UNUSED: Mapping[str, str] = {
    "the link has one port, ret_port, on which nothing is broadcast": """
        publish_port publish_session pub_hwm pub_server_write_queue_size publish_drain_timeout
        publish_signing_algorithm zmq_* tcp_master_publish_pull tcp_master_workers tcp_keepalive*
        tcp_reconnect_backoff tcp_authentication_retries transport transport_opts ipc_write_buffer
        event_publisher_niceness ipv6 master_uri_format source_* request_channel_* salt_event_pub_hwm
        event_publisher_pub_hwm
    """,
    "the link is TLS 1.3 with a key of each side; nothing of it can be weakened": """
        ssl keysize hash_type sign_pub_messages master_sign_* master_use_pubkey_signature
        master_pubkey_signature verify_master_pubkey_sign always_verify_signature require_minion_sign_messages
        minion_sign_messages drop_messages_signature_fail encryption_algorithm signing_algorithm
        minimum_auth_version request_server_ttl rotate_aes_key ping_on_rotate random_reauth_delay auth_safemode
        verify_env permissive_pki_access disable_aes_with_tls cluster_encryption_algorithm
        cluster_signing_algorithm auth_tries auth_retries
    """,
    "a key is accepted by an operator, by a one-time token, or because it was put there before": """
        open_mode auto_accept autosign_* autoreject_file auth_events_autosign_grains preserve_minion_cache
    """,
    "events and returns wait in the log of the minion until the master has them": """
        return_retry_* syndic_event_forward_timeout cache_jobs
    """,
    "events are kept in the event log, and are read from there; nothing is trimmed": """
        event_return event_return_* max_event_size
    """,
    "the jobs are in one store": """
        master_job_cache ext_job_cache job_cache_store_endtime minion_data_cache_* cache cache_*
        keep_acl_in_token
    """,
    "functions always run in processes of their own": """
        multiprocessing worker_threads worker_pools*
    """,
    "it is started as the user that it is to be, by systemd or whoever else": """
        user sudo_user max_open_files
    """,
    "log_format says how: text or json": """
        log_fmt_* log_datefmt* log_granular_levels key_logfile log_rotate_* log_fmt*
    """,
    "there are no states, pillar or file server here": """
        state_* states_dirs pillar_* pillarenv* pillarcache pillar_cache* ext_pillar* ext_pillar_first
        top_file_merging_strategy default_top env_order renderer renderer_* jinja_* failhard yaml_utf8 test
        file_buffer_size file_ignore_* file_recv* fileserver_* gitfs_* hgfs_* svnfs_* s3fs_* s3.* azurefs_*
        minionfs_* git_pillar_* winrepo_* roots_* hash_id top_file saltenv lock_saltenv master_tops thorium_*
        orchestrate* autoload_dynamic_modules clean_dynamic_modules environment sls_* startup_states
        order_masters local use_yamlloader_old decrypt_pillar* on_demand_ext_pillar master_stats* state_events
        fileserver_events
    """,
    "this version has no reactor, engines or schedule": """
        reactor reactor_* engines engine_* schedule schedule_* beacons_before_connect scheduler_*
    """,
    "the HTTP interface is rest_cherrypy's, with the back ends and limits of docs/salt-rest.md": """
        rest_* rest_tornado rest_wsgi netapi_* publisher_acl* client_acl* token_* eauth_* api_* auth_mode
    """,
    "there are no syndics, proxies or clusters of this kind here": """
        syndic_* syndic* proxy* proxy_* cluster_* raft_* master_syndic_* add_proxymodule_to_opts
    """,
    "there is no SSH client, range server or mine here": """
        ssh_* roster* range_server mine_* mine_interval mine_functions rosters
    """,
    "modules are found through module_dirs and runner_dirs": """
        extension_modules extmod_* grains_dirs returner_dirs render_dirs outputter_dirs utils_dirs cython_enable
        whitelist_modules disable_returners providers providers.* returner* enable_zip_modules grains_cache*
        grains_deep_merge grains_refresh_* optimization_order enable_*_grains
    """,
    "the command line has options for it": """
        color output output_* strip_colors cli_summary show_timeout show_jid verify_log
    """,
    "the link notices by itself when a master is away": """
        master_alive_interval master_failback* master_tries master_shuffle retry_dns* random_startup_delay
        dns_check ping_on_* master_fail*
    """,
    "id is taken as it is given": """
        append_domain minion_id_caching minion_id_lowercase minion_id_remove_domain id_function conf_file
        config_dir
    """,
}
"""A reason, and the names or shell patterns that it holds for."""

FOR_OTHERS = ("saltgui_*", "pidfile")
"""Nothing is said of these: other programs look for them in the configuration, such as `salt-master` of sylvite-salt."""


def reason_unused(name: str, *, exactly: bool = False) -> str | None:
    """Return why an option of Salt has no meaning here; None where the name is not one of Salt's, as far as we know.

    `exactly`: shell patterns do not count, which may hold for a misspelt name too.
    """
    for reason, names in UNUSED.items():
        listed = names.split()
        if name in listed or (not exactly and any(fnmatch.fnmatchcase(name, pattern) for pattern in listed)):
            return reason
    return None


def is_for_others(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in FOR_OTHERS)
