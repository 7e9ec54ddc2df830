-- What popular means stands in popularity.py. First by plain counts, which no note with enough people can fail; the
-- distinct people are counted for those few only.
CREATE MATERIALIZED VIEW popular_events AS
WITH clock AS (
    SELECT analytics_now() AS now, analytics_now() - $WINDOW_SECONDS AS begin
), deed AS NOT MATERIALIZED ( -- read twice, rather than kept: it may be large
    SELECT r.target, r.actor, r.deed
    FROM analytics_recent AS r, clock
    WHERE r.target IS NOT NULL AND r.created_at > clock.begin AND r.created_at <= clock.now
      AND (r.expires_at IS NULL OR r.expires_at > clock.now)
), candidate AS MATERIALIZED (
    SELECT target FROM deed GROUP BY target HAVING count(*) > $MORE_THAN_PEOPLE
), note AS MATERIALIZED (
    SELECT n.event_id, n.pubkey, n.kind, n.created_at, n.expires_at
    FROM candidate JOIN analytics_recent AS n ON n.event_id = candidate.target, clock
    WHERE n.kind IN ($POPULAR_KINDS) AND n.created_at > clock.begin AND n.created_at <= clock.now
      AND (n.expires_at IS NULL OR n.expires_at > clock.now)
), counted AS (
    SELECT note.event_id,
           count(DISTINCT deed.actor)::integer AS people,
           count(DISTINCT deed.actor) FILTER (WHERE deed.deed = '+')::integer AS reactions,
           count(DISTINCT deed.actor) FILTER (WHERE deed.deed = 'r')::integer AS reposts,
           count(DISTINCT deed.actor) FILTER (WHERE deed.deed = 'a')::integer AS replies,
           count(DISTINCT deed.actor) FILTER (WHERE deed.deed = 'z')::integer AS zaps
    FROM note JOIN deed ON deed.target = note.event_id AND deed.actor <> note.pubkey
    GROUP BY note.event_id
    HAVING count(DISTINCT deed.actor) > $MORE_THAN_PEOPLE
)
SELECT row_number() OVER (
           ORDER BY people DESC, reactions + reposts + replies + zaps DESC, created_at DESC, event_id
       )::integer AS rank,
       event_id, pubkey, kind, created_at, expires_at, people, reactions, reposts, replies, zaps
FROM counted JOIN note USING (event_id)
ORDER BY rank
LIMIT $MOST_POPULAR;
CREATE UNIQUE INDEX popular_events_one ON popular_events (event_id);
