-- Letters that are to be sent again, with their events; without an event that was removed or has expired meanwhile.
SELECT d.id, d.peer_id, d.event_id, d.event_created_at, d.kind, e.json, encode(e.pubkey, 'hex')
FROM replication_deadletter AS d LEFT JOIN relay_event AS e
    ON e.id = decode(d.event_id, 'hex') AND e.created_at = d.event_created_at AND $STORED
    AND (e.expires_at IS NULL OR e.expires_at > extract(epoch FROM clock_timestamp()))
WHERE d.id = ANY (%(ids)s)
ORDER BY d.peer_id, d.id
