SELECT w.n, e.id, e.json
FROM wanted AS w CROSS JOIN LATERAL (
    SELECT e.* FROM relay_event AS e WHERE e.id = w.id AND e.created_at BETWEEN %(since)s AND %(until)s OFFSET 0
) AS e
WHERE e.kind IN ($REMOVALS) AND $PRESENT
  AND (%(authors)s::bytea[] IS NULL OR e.pubkey = ANY (%(authors)s::bytea[]))
UNION ALL
SELECT w.n, v.event_id, v.json
FROM relay_vanish AS v JOIN wanted AS w ON w.id = v.event_id
WHERE %(authors)s::bytea[] IS NULL OR v.pubkey = ANY (%(authors)s::bytea[])
