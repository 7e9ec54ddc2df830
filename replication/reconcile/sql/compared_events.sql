SELECT e.created_at, e.id
FROM relay_event AS e
WHERE e.kind NOT IN ($REMOVALS) AND e.created_at BETWEEN %(since)s AND %(until)s
  AND (e.created_at, e.id) >= (%(since)s, %(lower_id)s) AND (e.created_at, e.id) < (%(until)s, %(upper_id)s)
  AND (%(kinds)s::integer[] IS NULL OR e.kind = ANY (%(kinds)s::integer[]))
  AND (%(authors)s::bytea[] IS NULL OR e.pubkey = ANY (%(authors)s::bytea[]))
  AND (e.expires_at IS NULL OR e.expires_at > %(now)s)
  AND CASE WHEN %(private)s THEN $BACKED_UP ELSE $COPIED END
  AND (cardinality(%(floor_kinds)s::int4multirange[]) = 0 OR NOT EXISTS (
      SELECT FROM unnest(%(floor_kinds)s::int4multirange[], %(floor_befores)s::bigint[]) AS f (kinds, before)
      WHERE f.before > e.created_at AND f.kinds @> e.kind))
