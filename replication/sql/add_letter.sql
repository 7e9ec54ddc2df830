-- Notes an event that the peer has refused.
INSERT INTO replication_deadletter AS d
    (peer_id, event_id, event_created_at, kind, reason_class, reason, tries, first_at, last_at)
VALUES (%(peer)s, %(event_id)s, %(created_at)s, %(kind)s, %(class)s, %(reason)s, 1, clock_timestamp(), clock_timestamp())
ON CONFLICT (peer_id, event_id) DO UPDATE SET tries = d.tries + 1, reason_class = excluded.reason_class,
    reason = excluded.reason, last_at = excluded.last_at
