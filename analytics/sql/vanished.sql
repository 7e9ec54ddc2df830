-- The events of the roll-up whose authors vanished: the keys, and up to which time each.
SELECT r.event_id
FROM analytics_recent AS r JOIN unnest(%(keys)s::bytea[], %(untils)s::bigint[]) AS v (pubkey, until)
    ON r.pubkey = v.pubkey AND r.created_at <= v.until
