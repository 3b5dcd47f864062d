"""How the interface and the bus are: for balancers, monitors and people."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sylvite.api.answers import NO_STORE, answer
from sylvite.api.service import Service
from sylvite.errors import SylviteError


async def alive(service: Service, request: Request) -> Response:
    """GET /healthz: this process answers."""
    del service, request
    return Response(b"ok\n", media_type="text/plain", headers=NO_STORE)


async def ready(service: Service, request: Request) -> Response:
    """GET /readyz: the broker answers, and takes events as far as it knows."""
    del request
    try:
        await service.bus.ask("stats", timeout_s=2.0)
    except SylviteError as error:
        return Response(f"not ready: {error}\n", 503, NO_STORE, "text/plain")
    return Response(b"ready\n", media_type="text/plain", headers=NO_STORE)


async def status(service: Service, request: Request) -> Response:
    """GET /v1/status: what `sylvite status` shows."""
    service.access.require(request, "status:read")
    return answer(await service.bus.ask("stats"))
