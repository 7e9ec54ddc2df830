"""The ASGI application: HTTP goes to Django, WebSocket on "/" to the relay, lifespan to the process's relay.

Under `serve` each worker process runs it in uvicorn. Started by hand in another server (daphne, uvicorn), it
refuses with one sentence when no database answers.
"""

import os
import sys
from typing import Any

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relayproject.settings")
django_application = get_asgi_application()

from django.conf import settings  # noqa: E402

from relayproject.runtime.presence import require_database  # noqa: E402  needs the settings
from relayproject.runtime.refusal import Refusal  # noqa: E402

if not os.environ.get("RELAY_SUPERVISED"):
    try:
        require_database()
    except Refusal as refusal:
        sys.exit(str(refusal))


from analytics.exposition_files import leave_figures  # noqa: E402  needs the apps
from relay.consumers import RelayConsumer  # noqa: E402
from relay.protocol.errors import RelayError  # noqa: E402
from relay.services import runtime  # noqa: E402
from relay.views.doors import PublicDoors  # noqa: E402

relay_consumer = RelayConsumer.as_asgi()
leave_figures(settings.PROMETHEUS_MULTIPROC_DIR, settings.RELAY_WORKER)


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    """The relay on "/"; any other path is answered 404, or 403 where the server cannot (01-S12)."""
    if scope["path"] == "/":
        await relay_consumer(scope, receive, send)
        return
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1000})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"The relay is at /\n"})


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Start the process's relay before the first connection, stop it after the last.

    A server without lifespan (daphne) starts it with its first connection.
    """
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                await runtime.start()
            except RelayError as error:
                await send({"type": "lifespan.startup.failed", "message": error.text})
                return
            await send({"type": "lifespan.startup.complete"})
        else:
            await runtime.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


http = PublicDoors(django_application)
application = ProtocolTypeRouter({"http": http, "websocket": websocket, "lifespan": lifespan})
