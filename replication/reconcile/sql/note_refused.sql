-- Notes ids that were refused, while fewer than `most` are noted for the peer.
INSERT INTO replication_refusedid AS known (peer_id, created_at, event_id, stage, by_peer, retry_at)
SELECT %(peer)s, n.created_at, n.event_id, %(stage)s, %(by_peer)s, to_timestamp(%(retry_at)s)
FROM unnest(%(created_ats)s::bigint[], %(ids)s::bytea[]) AS n (created_at, event_id)
WHERE (SELECT count(*) FROM replication_refusedid AS r WHERE r.peer_id = %(peer)s) < %(most)s
ON CONFLICT (peer_id, created_at, event_id) DO UPDATE SET by_peer = excluded.by_peer, retry_at = excluded.retry_at
