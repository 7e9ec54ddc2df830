"""Metrics of the replication that processes count where they work; replication.exposition has those of the database.

Labels are names of regions that the database knows, never text of a request that no peer has signed.
"""

from prometheus_client import Counter

received = Counter("relay_replication_received", "Events from peers, by what became of them.", ["peer", "outcome"])
received_bytes = Counter("relay_replication_received_bytes", "Bodies of requests from peers, as sent.", ["peer"])
refused = Counter("relay_replication_requests_refused", "Requests that no peer has signed for this region.", ["reason"])
busy = Counter("relay_replication_busy", "Requests of peers put off, because too much was under way.", ["peer"])
sent = Counter("relay_replication_sent", "Events sent to peers, by what became of them.", ["peer", "lane", "outcome"])
sent_bytes = Counter("relay_replication_sent_bytes", "Bodies of requests to peers, as sent.", ["peer", "lane"])
failures = Counter("relay_replication_send_failures", "Requests to peers without an answer.", ["peer", "lane"])
ephemerals = Counter(
    "relay_replication_ephemerals", "Ephemeral events for peers: sent, or dropped with the reason.", ["peer", "outcome"]
)
