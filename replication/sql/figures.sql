-- For /metrics: how far each lane of each peer is behind, as of now: also while no sender runs.
SELECT r.name, l.lane, CASE WHEN l.identity = s.identity AND l.epoch = s.epoch THEN greatest(0, p.newest - l.position) ELSE p.newest END,
       CASE WHEN l.lag_events > 0 OR (l.position < p.newest AND l.updated_at < clock_timestamp() - interval '10 seconds')
            THEN l.lag_seconds + greatest(0, coalesce(extract(epoch FROM clock_timestamp() - l.updated_at), 0)) ELSE 0 END::float8,
       (l.state = 'up')::integer, l.events_per_second
FROM replication_peerlane AS l JOIN replication_region AS r ON r.origin = l.peer_id, relay_store AS s,
     (SELECT relay_position() AS newest) AS p
WHERE r.enabled AND NOT r.is_local
