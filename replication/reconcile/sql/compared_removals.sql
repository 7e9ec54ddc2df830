SELECT e.created_at, e.id
FROM relay_event AS e
WHERE e.kind IN ($REMOVALS) AND e.created_at BETWEEN %(since)s AND %(until)s
  AND (e.created_at, e.id) >= (%(since)s, %(lower_id)s) AND (e.created_at, e.id) < (%(until)s, %(upper_id)s)
  AND (%(authors)s::bytea[] IS NULL OR e.pubkey = ANY (%(authors)s::bytea[]))
  AND (e.expires_at IS NULL OR e.expires_at > %(now)s) AND $PRESENT
UNION ALL
SELECT v.until, v.event_id
FROM relay_vanish AS v
WHERE (v.until, v.event_id) >= (%(since)s, %(lower_id)s) AND (v.until, v.event_id) < (%(until)s, %(upper_id)s)
  AND (%(authors)s::bytea[] IS NULL OR v.pubkey = ANY (%(authors)s::bytea[]))
