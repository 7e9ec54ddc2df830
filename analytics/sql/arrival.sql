-- The first minute of the history, from `begin` to `end`, whose position is not below that of the event's newest addition.
-- Without two minutes to search between, or without the change, there is no row.
WITH around AS (
    SELECT min(m.position) AS low, max(m.position) AS high
    FROM analytics_minute AS m WHERE m.minute BETWEEN %(begin)s AND %(end)s
), change AS (
    SELECT c.seq
    FROM (
        SELECT c.seq, c.op, c.event_id FROM relay_change AS c, around
        WHERE c.seq > around.low AND c.seq <= around.high
        ORDER BY c.seq DESC LIMIT %(most)s
    ) AS c
    WHERE c.event_id = %(id)s AND c.op = '+'
    ORDER BY c.seq DESC LIMIT 1
)
SELECT m.minute
FROM analytics_minute AS m, change
WHERE m.minute BETWEEN %(begin)s AND %(end)s AND m.position >= change.seq
ORDER BY m.minute LIMIT 1
