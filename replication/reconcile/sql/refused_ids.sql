-- The ids of a window that one side has refused and the other need not offer again yet.
SELECT int8send(r.created_at) || r.event_id, r.by_peer
FROM replication_refusedid AS r
WHERE r.peer_id = %(peer)s AND r.stage = %(stage)s AND r.created_at BETWEEN %(since)s AND %(until)s AND r.retry_at > to_timestamp(%(now)s)
  AND (r.created_at, r.event_id) >= (%(since)s, %(lower_id)s) AND (r.created_at, r.event_id) < (%(until)s, %(upper_id)s)
