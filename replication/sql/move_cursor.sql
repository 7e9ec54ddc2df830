-- Moves the cursor and renews the lease; no row, and nothing is changed, if the lease is another's by now (fencing).
UPDATE replication_peerlane SET
    identity = %(identity)s, epoch = %(epoch)s, position = %(position)s,
    lease_until = clock_timestamp() + %(seconds)s * interval '1 second',
    state = 'up', attempts = 0, next_attempt_at = NULL, last_error = CASE WHEN %(sent)s > 0 THEN '' ELSE last_error END,
    lag_events = %(lag_events)s, lag_seconds = %(lag_seconds)s,
    events_per_second = %(events_per_second)s, bytes_per_second = %(bytes_per_second)s,
    sent_events = sent_events + %(sent)s, sent_bytes = sent_bytes + %(sent_bytes)s, updated_at = clock_timestamp()
WHERE id = %(id)s AND holder = %(holder)s AND lease_until > clock_timestamp()
RETURNING id
