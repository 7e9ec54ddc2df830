-- Today and the six days before, in UTC.
CREATE MATERIALIZED VIEW active_authors AS
WITH counted AS (
    SELECT pubkey, sum(events)::integer AS events, count(*)::integer AS days
    FROM analytics_author_day
    WHERE events > 0 AND day > analytics_now() - $WINDOW_SECONDS AND day <= analytics_now()
    GROUP BY pubkey
)
SELECT row_number() OVER (ORDER BY events DESC, days DESC, pubkey)::integer AS rank, pubkey, events, days
FROM counted
ORDER BY rank
LIMIT $MOST_AUTHORS;
CREATE UNIQUE INDEX active_authors_one ON active_authors (pubkey);
