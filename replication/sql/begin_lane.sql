-- The cursor of a new peer, at the present position.
INSERT INTO replication_peerlane
    (peer_id, lane, identity, epoch, position, holder, state, attempts, lag_events, lag_seconds, last_error,
     events_per_second, bytes_per_second, sent_events, sent_bytes)
SELECT %(peer)s, %(lane)s, s.identity, s.epoch, relay_position(), '', 'up', 0, 0, 0, '', 0, 0, 0, 0 FROM relay_store AS s
ON CONFLICT (peer_id, lane) DO NOTHING
