"""For load balancers and orchestrators: does this process live, and should it get new clients?"""

import asyncio

from django.http import HttpRequest, HttpResponse, JsonResponse

from relay.protocol.errors import Failed
from relay.services import runtime

START_PATIENCE_SECONDS = 2.0
"""A relay that is not started yet (daphne has no lifespan) is started; whoever asked waits no longer than this."""

_starting: set[asyncio.Task[runtime.Relay]] = set()


async def health(_request: HttpRequest) -> HttpResponse:
    """200: this process answers. Nothing else is looked at."""
    return HttpResponse("ok\n", content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})


async def ready(_request: HttpRequest) -> JsonResponse:
    """200 `{"ready": true}`; 503 `{"ready": false, "reason": text}` while database, bus or change log are not well."""
    problem = await _problem()
    if problem is None:
        return JsonResponse({"ready": True}, headers={"Cache-Control": "no-store"})
    return JsonResponse(
        {"ready": False, "reason": problem}, status=503, headers={"Cache-Control": "no-store", "Retry-After": "1"}
    )


async def _problem() -> str | None:
    relay = runtime.current()
    if relay is None:
        try:
            relay = await started()
        except TimeoutError:
            return "the relay is starting"
        except Failed as error:
            return error.message
    return relay.problem()


async def started() -> runtime.Relay:
    """The relay of this process, started if it was not. Raises TimeoutError while that goes on, Failed if it cannot.

    The start goes on by itself when this call is given up: a client that leaves must not undo it.
    """
    if (relay := runtime.current()) is not None:
        return relay
    task = asyncio.get_running_loop().create_task(runtime.start(), name="relay start")
    _starting.add(task)
    task.add_done_callback(_settled)
    async with asyncio.timeout(START_PATIENCE_SECONDS):
        return await asyncio.shield(task)


def _settled(task: asyncio.Task[runtime.Relay]) -> None:
    _starting.discard(task)
    if not task.cancelled():
        task.exception()  # whoever waited has been told
