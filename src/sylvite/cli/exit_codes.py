"""Exit codes: what a script can tell from them, and which error ends with which."""

from __future__ import annotations

from collections.abc import Mapping

DONE = 0
NO = 1
"""Asked, and the answer is no."""
USAGE = 2
NOT_REACHABLE = 69
INTERNAL = 70
"""A mistake of ours."""
DISK_FAILED = 74
TRY_AGAIN = 75
"""Refused for the moment: the same command may work later."""
NOT_ALLOWED = 77
CONFIGURATION = 78
TIMEOUT = 124
"""As timeout(1)."""
INTERRUPTED = 130
PIPE_CLOSED = 141
"""The reader of our output went away; said in silence, as other programs do that die of SIGPIPE."""

NOT_AVAILABLE = 255
"""There is no such function; as `salt-call` says it."""

EXIT_CODES: Mapping[str, int] = {
    "error": NO,
    # The caller's input
    "invalid_input": USAGE,
    "invalid_tag": USAGE,
    "invalid_pattern": USAGE,
    "invalid_expression": USAGE,
    "invalid_target": USAGE,
    "invalid_jid": USAGE,
    "invalid_data": USAGE,
    "event_too_big": USAGE,
    "invalid_setting": CONFIGURATION,
    # The conversation
    "protocol_error": NOT_REACHABLE,
    "remote_protocol_error": NOT_REACHABLE,
    "frame_too_big": NOT_REACHABLE,
    "local_protocol_error": INTERNAL,
    "internal": INTERNAL,
    "connection_lost": NOT_REACHABLE,
    "broker_not_reachable": NOT_REACHABLE,
    "address_in_use": TRY_AGAIN,
    "not_authenticated": NOT_ALLOWED,
    "not_allowed": NOT_ALLOWED,
    "overloaded": TRY_AGAIN,
    "shutting_down": TRY_AGAIN,
    "stale_sequence": NO,
    "ack_unknown": TIMEOUT,
    "ack_timeout": TIMEOUT,
    "durability_unknown": DISK_FAILED,
    "replication_unknown": TIMEOUT,
    "wait_timeout": TIMEOUT,
    "events_missed": NO,
    "cursor_in_use": TRY_AGAIN,
    "no_such_cursor": NO,
    # Jobs
    "no_such_job": NO,
    "job_store_failed": DISK_FAILED,
    "job_store_in_use": TRY_AGAIN,
    # Functions
    "function_not_available": NOT_AVAILABLE,
    "invalid_arguments": NO,
    "function_failed": NO,
    "invalid_low": USAGE,
    "unknown_list": USAGE,
    "invalid_orchestration": USAGE,
    "not_started": TRY_AGAIN,
    # The log
    "log_error": DISK_FAILED,
    "offset_gone": NO,
    "no_such_offset": NO,
    "no_space": TRY_AGAIN,
    "log_in_use": TRY_AGAIN,
    "log_damaged": NO,
    "log_not_understood": CONFIGURATION,
    "log_failed": DISK_FAILED,
    # Keys
    "invalid_key": USAGE,
    "invalid_minion_id": USAGE,
    "bad_signature": NOT_ALLOWED,
    "bad_enrolment": NOT_ALLOWED,
    "bad_token": NOT_ALLOWED,
    "wrong_master": NOT_ALLOWED,
    "not_accepted": NOT_ALLOWED,
    "no_such_key": NO,
    "move_refused": NO,
    "no_rollover": NO,
    "key_in_use": NO,
    "too_many_pending": TRY_AGAIN,
    "keyring_busy": TRY_AGAIN,
    "keyring_failed": DISK_FAILED,
    "keyring_not_understood": CONFIGURATION,
    # The interface over HTTP
    "invalid_scope": USAGE,
    "no_such_token": NO,
    "too_many_requests": TRY_AGAIN,
    "body_too_big": USAGE,
    "wrong_type": USAGE,
    "wrong_method": USAGE,
    "not_acceptable": USAGE,
    "no_such_webhook": NO,
    "webhook_not_taken": NO,
    "not_shown": NOT_ALLOWED,
    "not_found": NO,
    "not_installed": CONFIGURATION,
    # More than one master
    "cluster_error": NO,
    "lease_lost": NO,
    "not_all_sent": TIMEOUT,
    "cluster_unreachable": NOT_REACHABLE,
    "cluster_refused": NOT_ALLOWED,
    "cluster_unfit": CONFIGURATION,
    "cluster_forged": NOT_ALLOWED,
    "name_taken": CONFIGURATION,
    # Machines at providers
    "cloud_error": NO,
    "library_missing": CONFIGURATION,
    "no_such_machine": NO,
    "ledger_failed": DISK_FAILED,
    "machine_exists": NO,
    "machine_unfinished": NO,
    "machine_failed": NO,
    "machine_timeout": TIMEOUT,
    "machine_interrupted": INTERRUPTED,
    "not_supported": NO,
    "deploy_failed": NO,
    "provider_error": NO,
    "provider_refused": NOT_ALLOWED,
    "provider_busy": TRY_AGAIN,
    "provider_not_reachable": NOT_REACHABLE,
    "provider_answer_unknown": TIMEOUT,
    # Of the command line itself
    "not_announced": NOT_REACHABLE,
    "bad_line": NO,
    "bad_archive": NO,
}
"""Error code to exit code: every code in the tree of errors.py, and those of the command line."""


def exit_code_of(error_code: str) -> int:
    """Return the exit code; a code that a newer broker sent, and we do not know, is a plain no."""
    return EXIT_CODES.get(error_code, NO)
