-- The popular events of the view whose event is still there and served, and not so long that a page of them is too large.
SELECT p.rank, p.people, p.reactions, p.reposts, p.replies, p.zaps, e.json
FROM popular_events AS p JOIN relay_event AS e ON e.id = p.event_id
WHERE p.created_at > analytics_now() - %(seconds)s AND p.kind = %(kind)s AND e.kind NOT IN ($NEVER_SERVED)
  AND $PRESENT
  AND octet_length(e.json) <= $READ_BYTES
  AND (e.expires_at IS NULL OR e.expires_at > extract(epoch FROM clock_timestamp()))
ORDER BY p.rank
LIMIT %(limit)s
