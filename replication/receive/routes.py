"""The addresses for peers."""

from replication.receive.application import Route
from replication.receive.events import take_events
from replication.receive.reconcile import fetch, reconcile
from replication.receive.status import tell_status
from replication.wire import CONTENT_BYTES, EVENTS_PATH, FETCH_PATH, RECONCILE_PATH, STATUS_PATH

ROUTES = {
    EVENTS_PATH: Route("POST", take_events, CONTENT_BYTES[EVENTS_PATH]),
    STATUS_PATH: Route("GET", tell_status, CONTENT_BYTES[STATUS_PATH]),
    RECONCILE_PATH: Route("POST", reconcile, CONTENT_BYTES[RECONCILE_PATH]),
    FETCH_PATH: Route("POST", fetch, CONTENT_BYTES[FETCH_PATH]),
}
