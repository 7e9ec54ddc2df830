-- Distinct authors, not uses: one author with a loop makes no trend.
CREATE MATERIALIZED VIEW trending_hashtags AS
WITH clock AS (
    SELECT analytics_now() AS now, analytics_now() - $TREND_SECONDS AS begin, analytics_now() - 2 * $TREND_SECONDS AS before
), used AS (
    SELECT hashtag, r.pubkey, r.created_at > clock.begin AS is_now
    FROM clock, analytics_recent AS r CROSS JOIN unnest(r.hashtags) AS t (hashtag)
    WHERE r.hashtags IS NOT NULL AND r.created_at > clock.before AND r.created_at <= clock.now
      AND (r.expires_at IS NULL OR r.expires_at > clock.now)
), counted AS (
    SELECT hashtag,
           count(DISTINCT pubkey) FILTER (WHERE is_now)::integer AS authors,
           count(DISTINCT pubkey) FILTER (WHERE NOT is_now)::integer AS authors_before,
           count(*) FILTER (WHERE is_now)::integer AS events
    FROM used GROUP BY hashtag
    HAVING count(DISTINCT pubkey) FILTER (WHERE is_now) >= $TREND_AUTHORS
)
SELECT row_number() OVER (ORDER BY authors DESC, authors_before, events DESC, hashtag)::integer AS rank,
       hashtag, authors, authors_before, events
FROM counted
ORDER BY rank
LIMIT $MOST_HASHTAGS;
CREATE UNIQUE INDEX trending_hashtags_one ON trending_hashtags (hashtag);
