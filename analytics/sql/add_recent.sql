-- Takes events into the roll-up. One that is in it already changes nothing, so a page may come twice.
WITH added AS (
    INSERT INTO analytics_recent (event_id, pubkey, created_at, expires_at, kind, deed, target, actor, hashtags)
    SELECT id, pubkey, created_at, expires_at, kind, deed, target, actor, string_to_array(hashtags, ' ')
    FROM unnest(
        %(ids)s::bytea[], %(pubkeys)s::bytea[], %(created_ats)s::bigint[], %(expires_ats)s::bigint[], %(kinds)s::integer[],
        %(deeds)s::text[]::"char"[], %(targets)s::bytea[], %(actors)s::bytea[], %(hashtags)s::text[]
    ) AS e (id, pubkey, created_at, expires_at, kind, deed, target, actor, hashtags)
    WHERE created_at >= %(begin)s AND created_at <= %(end)s
    ON CONFLICT (event_id) DO NOTHING
    RETURNING pubkey, created_at, kind
), hours AS (
    INSERT INTO analytics_kind_hour AS h (hour, kind, events)
    SELECT created_at / 3600 * 3600 AS hour, kind, count(*) FROM added GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (hour, kind) DO UPDATE SET events = h.events + excluded.events
), days AS (
    INSERT INTO analytics_author_day AS d (day, pubkey, events)
    SELECT created_at / $DAY_SECONDS * $DAY_SECONDS AS day, pubkey, count(*) FROM added
    WHERE kind NOT IN ($NEVER_SERVED) GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (day, pubkey) DO UPDATE SET events = d.events + excluded.events
)
SELECT count(*) FROM added
