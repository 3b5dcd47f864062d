"""Settings of the interface: the options of a master that are about HTTP, read as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.rest import RestCherrypy
from sylvite.errors import InvalidSetting

CLIENTS = (
    "local", "local_async", "local_batch", "local_subset", "runner", "runner_async", "ssh", "wheel", "wheel_async",
)  # fmt: skip
"""Salt's names for ways to run something."""
BACKENDS = ("auto", "file", "pam", "sharedsecret")


class ApiSettings(msgspec.Struct, frozen=True):
    """`clients`: those of CLIENTS that may be used.  `external_auth`: backend to user to perms, as Salt has it."""

    rest: RestCherrypy = RestCherrypy()
    clients: tuple[str, ...] = ()
    external_auth: Mapping[str, Mapping[str, Any]] = {}
    sharedsecret: str = ""
    pam_service: str = "login"
    token_life_s: float = 43_200.0
    opts: Mapping[str, Any] = {}


def read_settings(options: MasterOptions, opts: Mapping[str, Any]) -> ApiSettings:
    """Return what the options of a master say.  `opts`: the same as functions see them.

    Raises:
        InvalidSetting: one of them cannot be so; it says which.
    """
    rest = options.rest_cherrypy
    for client in options.netapi_enable_clients:
        if client not in CLIENTS:
            raise InvalidSetting("netapi_enable_clients", client, f"is no client; there are {', '.join(CLIENTS)}")
    return ApiSettings(
        rest, options.netapi_enable_clients, _external_auth(options.external_auth), options.sharedsecret,
        options.pam_service, options.token_expire_s, opts,
    )  # fmt: skip


def _external_auth(said: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for backend, users in said.items():
        if backend not in BACKENDS:
            raise InvalidSetting("external_auth", backend, f"is no back end here; there are {', '.join(BACKENDS)}")
        try:
            found[backend] = msgspec.convert(users, dict[str, Any])
        except msgspec.ValidationError as error:
            raise InvalidSetting(
                f"external_auth:{backend}", str(users)[:80], "must be a map of users to lists of what they may do"
            ) from error
        groups = [name for name in found[backend] if name.endswith("%")]
        if groups and backend != "pam":
            raise InvalidSetting(f"external_auth:{backend}", groups[0], "is a group, and pam alone has groups")
    return found
