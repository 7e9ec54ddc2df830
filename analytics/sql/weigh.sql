-- The size of the relay's tables with their indexes, noted in the hour of the roll-up's clock.
INSERT INTO analytics_growth AS g (hour, events, store_bytes)
SELECT %(now)s / 3600 * 3600, c.events, (
    SELECT sum(pg_total_relation_size(t.oid)) FROM pg_class AS t JOIN pg_class AS e USING (relnamespace)
    WHERE e.oid = 'relay_event'::regclass AND t.relkind = 'r' AND t.relname LIKE 'relay\_%%'
)
FROM analytics_cursor AS c
ON CONFLICT (hour) DO UPDATE SET events = excluded.events, store_bytes = excluded.store_bytes
