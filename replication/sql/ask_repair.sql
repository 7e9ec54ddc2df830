-- Has anti-entropy compare everything with a peer. Also if it was asked already: a run that is under way has perhaps passed what was
-- lost since.
UPDATE replication_region SET repair_asked_at = clock_timestamp(), repair_reason = %(reason)s
WHERE origin = %(peer)s
