-- Takes events out of the roll-up and of the counts; one that is not in it changes nothing.
WITH removed AS (
    DELETE FROM analytics_recent WHERE event_id = ANY (%(ids)s::bytea[]) RETURNING pubkey, created_at, kind
), hours AS (
    UPDATE analytics_kind_hour AS h SET events = h.events - gone.events
    FROM (SELECT created_at / 3600 * 3600 AS hour, kind, count(*) AS events FROM removed GROUP BY 1, 2) AS gone
    WHERE h.hour = gone.hour AND h.kind = gone.kind
), days AS (
    UPDATE analytics_author_day AS d SET events = d.events - gone.events
    FROM (
        SELECT created_at / $DAY_SECONDS * $DAY_SECONDS AS day, pubkey, count(*) AS events FROM removed
        WHERE kind NOT IN ($NEVER_SERVED) GROUP BY 1, 2
    ) AS gone
    WHERE d.day = gone.day AND d.pubkey = gone.pubkey
), reports AS (
    DELETE FROM analytics_report WHERE event_id = ANY (%(ids)s::bytea[])
)
SELECT count(*) FROM removed
