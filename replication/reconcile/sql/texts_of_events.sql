SELECT w.n, e.id, e.json
FROM wanted AS w CROSS JOIN LATERAL (
    SELECT e.* FROM relay_event AS e WHERE e.id = w.id AND e.created_at BETWEEN %(since)s AND %(until)s OFFSET 0
) AS e
WHERE e.kind NOT IN ($REMOVALS)
  AND (%(kinds)s::integer[] IS NULL OR e.kind = ANY (%(kinds)s::integer[]))
  AND (%(authors)s::bytea[] IS NULL OR e.pubkey = ANY (%(authors)s::bytea[]))
  AND (e.expires_at IS NULL OR e.expires_at > %(now)s)
  AND CASE WHEN %(private)s THEN $BACKED_UP ELSE $COPIED END
