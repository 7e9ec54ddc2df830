-- Notes that the peer did not take a batch, and when it is tried again; renews the lease. No row if the lease is another's.
UPDATE replication_peerlane SET
    lease_until = clock_timestamp() + %(seconds)s * interval '1 second',
    state = %(state)s, attempts = %(attempts)s, next_attempt_at = clock_timestamp() + %(wait)s * interval '1 second',
    last_error = %(error)s, lag_events = %(lag_events)s, lag_seconds = %(lag_seconds)s,
    events_per_second = 0, bytes_per_second = 0, updated_at = clock_timestamp()
WHERE id = %(id)s AND holder = %(holder)s AND lease_until > clock_timestamp()
RETURNING id
