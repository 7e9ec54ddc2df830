"""Liveness (`/health`) and readiness (`/ready`) probes for load balancers and orchestrators."""

import asyncio

from django.http import HttpRequest, HttpResponse, JsonResponse

from relay.protocol.errors import Failed
from relay.services import process, readiness
from relay.services.runtime import LEAVING, Relay

START_TIMEOUT_SECONDS = 2.0
"""How long a request waits for the start of the relay, which it triggers on servers without lifespan (daphne)."""

_starting: set[asyncio.Task[Relay]] = set()


async def health(_request: HttpRequest) -> HttpResponse:
    """200: this process answers. Nothing else is checked."""
    return HttpResponse("ok\n", content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})


async def ready(_request: HttpRequest) -> JsonResponse:
    """200 `{"ready": true, "degraded": [text]}`; 503 `{"ready": false, "reason": text}`: clients cannot be served.

    404 with the same body: the process is about to stop. HAProxy (`http-check disable-on-404`) then sends no new
    clients and leaves those that are connected; to every other balancer it is a failure as 503 is.

    Degraded is not unready: while Redis is down on every instance events are stored, answered and delivered, and a
    balancer that took all instances out would make an outage of it. A database that answers other instances is 503.
    """
    problem = await _problem()
    if problem is None:
        relay = process.current()
        faults = readiness.degraded(relay) if relay is not None else []
        return JsonResponse({"ready": True, "degraded": faults}, headers={"Cache-Control": "no-store"})
    status = 404 if problem == LEAVING else 503
    return JsonResponse(
        {"ready": False, "reason": problem}, status=status, headers={"Cache-Control": "no-store", "Retry-After": "1"}
    )


async def _problem() -> str | None:
    relay = process.current()
    if relay is None:
        try:
            relay = await started_relay()
        except TimeoutError:
            return "the relay is starting"
        except Failed as error:
            return error.message
    return readiness.problem(relay)


async def started_relay() -> Relay:
    """The relay of this process; starts it if needed. Raises TimeoutError after START_TIMEOUT_SECONDS, or Failed.

    The start continues when this call is cancelled, so that a client that disconnects does not cancel it.
    """
    if (relay := process.current()) is not None:
        return relay
    task = asyncio.get_running_loop().create_task(process.start(), name="relay start")
    _starting.add(task)
    task.add_done_callback(_settled)
    async with asyncio.timeout(START_TIMEOUT_SECONDS):
        return await asyncio.shield(task)


def _settled(task: asyncio.Task[Relay]) -> None:
    _starting.discard(task)
    if not task.cancelled():
        task.exception()  # the waiting request reports it
