-- Has anti-entropy compare everything with a peer, unless it was asked already.
UPDATE replication_region SET repair_asked_at = clock_timestamp(), repair_reason = %(reason)s
WHERE origin = %(peer)s AND repair_asked_at IS NULL
