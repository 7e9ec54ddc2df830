-- Takes the lease of a lane that no other sender holds; returns its cursor, or no row. Times are the database's.
UPDATE replication_peerlane SET holder = %(holder)s, lease_until = clock_timestamp() + %(seconds)s * interval '1 second',
    events_per_second = 0, bytes_per_second = 0 -- until the holder has sent a batch
WHERE peer_id = %(peer)s AND lane = %(lane)s
  AND (lease_until IS NULL OR lease_until < clock_timestamp() OR holder = %(holder)s)
RETURNING id, identity, epoch, position, state, attempts,
          coalesce(extract(epoch FROM next_attempt_at - clock_timestamp()), 0)::float8,
          CASE WHEN lag_events > 0
               THEN lag_seconds + coalesce(extract(epoch FROM clock_timestamp() - updated_at), 0) ELSE 0 END::float8
