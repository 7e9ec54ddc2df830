-- The events of the roll-up that retention hides: spans of kinds, and the time before which each was created.
SELECT e.event_id
FROM (
    SELECT r.event_id, r.kind, r.created_at FROM analytics_recent AS r
    UNION ALL SELECT p.event_id, 1984, p.created_at FROM analytics_report AS p
) AS e JOIN unnest(%(lows)s::integer[], %(highs)s::integer[], %(befores)s::bigint[]) AS p (low, high, before)
    ON e.created_at < p.before AND e.kind BETWEEN p.low AND p.high
