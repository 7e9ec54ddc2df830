-- For /metrics: what is known of each peer. Times are ages in seconds; null for what has never been. Of repairs the newest that ended
-- well count, of those that compared everything and of all; before the first one, when the peer was added.
SELECT r.name, (h.ready AND h.last_contact_at > clock_timestamp() - interval '60 seconds')::integer,
       h.latency_ms / 1000, h.clock_difference_seconds,
       extract(epoch FROM coalesce(x.whole, r.created_at))::float8, extract(epoch FROM coalesce(x.newest, r.created_at))::float8
FROM replication_region AS r LEFT JOIN replication_peerhealth AS h ON h.peer_id = r.origin CROSS JOIN LATERAL (
    SELECT max(x.finished_at) FILTER (WHERE x.since IS NULL AND x.until IS NULL) AS whole, max(x.finished_at) AS newest
    FROM replication_repair AS x WHERE x.peer_id = r.origin AND x.error = ''
) AS x
WHERE r.enabled AND NOT r.is_local
