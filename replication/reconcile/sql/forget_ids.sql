-- Deletes notes about events that have turned out otherwise.
DELETE FROM replication_refusedid AS r
WHERE r.peer_id = %(peer)s AND r.created_at BETWEEN %(since)s AND %(until)s AND r.event_id = ANY (%(ids)s::bytea[])
  AND r.by_peer = %(by_peer)s
