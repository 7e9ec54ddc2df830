"""The addresses for peers."""

from replication.receive.application import Route
from replication.receive.events import take_events
from replication.receive.reconcile import fetch, reconcile
from replication.receive.status import tell_status
from replication.wire import EVENTS_PATH, FETCH_PATH, RECONCILE_PATH, STATUS_PATH

ROUTES = {
    EVENTS_PATH: Route("POST", take_events),
    STATUS_PATH: Route("GET", tell_status),
    RECONCILE_PATH: Route("POST", reconcile),
    FETCH_PATH: Route("POST", fetch),
}
