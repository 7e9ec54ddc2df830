-- The most frequent kinds have rows of their own, -1 stands for the rest: a client that publishes a thousand kinds does not
-- make the view large.
CREATE MATERIALIZED VIEW events_by_kind_and_hour AS
WITH counted AS (
    SELECT hour, kind, events FROM analytics_kind_hour
    WHERE events > 0 AND hour > analytics_now() - $HOURS_SECONDS AND hour <= analytics_now()
), frequent AS (
    SELECT kind FROM counted GROUP BY kind ORDER BY sum(events) DESC, kind LIMIT $MOST_KINDS
), named AS (
    SELECT c.hour, coalesce(f.kind, -1) AS kind, c.events FROM counted AS c LEFT JOIN frequent AS f USING (kind)
)
SELECT hour || ':' || kind AS key, hour, kind, sum(events)::bigint AS events
FROM named
GROUP BY hour, kind;
CREATE UNIQUE INDEX events_by_kind_and_hour_one ON events_by_kind_and_hour (key);
