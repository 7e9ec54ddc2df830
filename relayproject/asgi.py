"""The ASGI application: HTTP for Django, WebSocket on "/" for the relay, lifespan to start and stop the relay.

Under `serve` each worker runs it in uvicorn. In another server (daphne, uvicorn) the process exits with one sentence
when the database does not answer.
"""

import os
import sys
from typing import Any

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relayproject.settings")
django_application = get_asgi_application()

from django.conf import settings  # noqa: E402

from relayproject import urls  # noqa: E402, F401  now: the first request would hold the loop while they are imported
from relayproject.runtime.database_check import require_database  # noqa: E402  needs the settings
from relayproject.runtime.errors import StartupError  # noqa: E402

if not os.environ.get("RELAY_SUPERVISED"):
    try:
        require_database()
    except StartupError as refusal:
        sys.exit(str(refusal))


from analytics import exposition_jobs, exposition_page  # noqa: E402  needs the apps
from analytics.exposition_files import leave_figures  # noqa: E402
from relay.consumers import RelayConsumer  # noqa: E402
from relay.protocol.errors import RelayError  # noqa: E402
from relay.services import process  # noqa: E402
from relay.views.gate import Gate  # noqa: E402
from relay.views.public import PublicViews  # noqa: E402
from replication.exposition import families  # noqa: E402
from replication.geo.install import install as install_geo_routing  # noqa: E402
from replication.receive.application import PeerRequests  # noqa: E402
from replication.receive.receiver import serve_peers  # noqa: E402
from replication.receive.routes import ROUTES  # noqa: E402

relay_consumer = RelayConsumer.as_asgi()
leave_figures(settings.PROMETHEUS_MULTIPROC_DIR, settings.RELAY_WORKER)


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    """The relay on "/"; another path is answered 404, or 403 by a server that cannot send 404 (01-S12)."""
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
    """Start the relay before the first connection and stop it after the last.

    Without lifespan (daphne) the first request starts it.
    """
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                await process.start()
            except RelayError as error:
                await send({"type": "lifespan.startup.failed", "message": error.text})
                return
            await send({"type": "lifespan.startup.complete"})
        else:
            await process.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


exposition_page.sources.extend([exposition_jobs.families, families])
process.on_start.append(serve_peers)
install_geo_routing()
http = PeerRequests(PublicViews(Gate(django_application, settings.RELAY_DJANGO_THREADS)), ROUTES)
application = ProtocolTypeRouter({"http": http, "websocket": websocket, "lifespan": lifespan})
