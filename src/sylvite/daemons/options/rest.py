"""The options of the HTTP interface, as Salt groups them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Rate = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class RestCherrypy(msgspec.Struct, frozen=True, omit_defaults=True):
    """The map `rest_cherrypy` of Salt's master file; names of its that have no meaning here are not read."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] | None = None
    host: str = "0.0.0.0"  # noqa: S104 - Salt's default; without TLS it has to be asked for (disable_ssl)
    ssl_crt: str | None = None
    ssl_key: str | None = None
    disable_ssl: bool = False
    webhook_url: str = "/hook"
    webhook_disable_auth: bool = False
    stats_disable_auth: bool = False
    root_prefix: str = "/"
    static: str | None = None
    static_path: str = "/static"
    app: str | None = None
    app_path: str = "/app"
    cors_origin: str | list[str] | None = None
    url_token: Literal["allow", "ticket", "never"] = "allow"
    events_stamp: Literal["utc", "naive"] = "utc"
    requests_per_s: Rate | None = 50.0
    events_per_s: Rate | None = 1000.0
    connections_per_address: Count | None = 64
    connections_per_token: Count | None = 256
    streams_per_token: Count = 16
    histories_per_token: Count = 4
    replay_bytes_per_s: Rate | None = 52_428_800.0
