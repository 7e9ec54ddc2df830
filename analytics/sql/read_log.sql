-- A page of the log after a position, with what the roll-up needs of each event that is still there. One statement, so one
-- snapshot: an event that was removed since is read without its row, and its own removal follows, or its author's request.
SELECT c.seq, c.op::text, c.event_id, c.event_created_at, e.pubkey, e.created_at, e.expires_at, e.kind, e.bytes, e.json
FROM (
    SELECT seq, op, event_id, created_at AS event_created_at FROM relay_change WHERE seq > %(position)s ORDER BY seq LIMIT %(limit)s
) AS c LEFT JOIN LATERAL (
    SELECT pubkey, created_at, expires_at, kind, octet_length(json) AS bytes,
           CASE WHEN kind IN ($READ_KINDS) AND octet_length(json) <= $READ_BYTES THEN json END AS json
    FROM relay_event AS e WHERE id = c.event_id AND created_at = c.event_created_at AND c.op = '+' AND $PRESENT
    OFFSET 0 -- looked up one by one, whatever the tables held when this was planned
) AS e ON true
ORDER BY c.seq
