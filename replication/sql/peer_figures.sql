-- For /metrics: what is known of each peer. Times are ages in seconds; null for what has never been.
SELECT r.name, (h.ready AND h.last_contact_at > clock_timestamp() - interval '60 seconds')::integer,
       h.latency_ms / 1000, h.clock_difference_seconds,
       (SELECT extract(epoch FROM max(x.finished_at)) FROM replication_repair AS x WHERE x.peer_id = r.origin AND x.error = '' AND x.since IS NULL AND x.until IS NULL)::float8
FROM replication_region AS r LEFT JOIN replication_peerhealth AS h ON h.peer_id = r.origin
WHERE r.enabled AND NOT r.is_local
