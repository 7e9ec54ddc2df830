CREATE MATERIALIZED VIEW store_growth AS
SELECT hour, added, removed, events, bytes_added, store_bytes
FROM analytics_growth
WHERE hour > analytics_now() - $GROWTH_SECONDS;
CREATE UNIQUE INDEX store_growth_one ON store_growth (hour);
