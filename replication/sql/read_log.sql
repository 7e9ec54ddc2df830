-- A page of the log after a position: the events of one lane that go to a peer, and how far the page reaches. A request to vanish
-- stands in the log as `v`, and its event in relay_vanish; a `v` of a ban has none. One statement, so one snapshot: `newest` and
-- the store are those of the page. At least one row; without events the last five columns are null.
WITH page AS MATERIALIZED (
    SELECT seq, op, event_id, created_at, origin FROM relay_change WHERE seq > %(position)s ORDER BY seq LIMIT %(entries)s
), found AS (
    SELECT p.seq, p.origin, e.id, e.pubkey, e.created_at, e.kind, e.json
    FROM page AS p CROSS JOIN LATERAL (
        SELECT e.id, e.pubkey, e.created_at, e.kind, e.json FROM relay_event AS e
        WHERE e.id = p.event_id AND e.created_at = p.created_at AND $STORED
          AND (e.expires_at IS NULL OR e.expires_at > extract(epoch FROM clock_timestamp()))
        OFFSET 0 -- looked up one by one, whatever the tables held when this was planned
    ) AS e
    WHERE p.op = '+'
    UNION ALL
    SELECT p.seq, p.origin, v.event_id, v.pubkey, v.until, 62, v.json
    FROM page AS p JOIN relay_vanish AS v ON v.pubkey = p.event_id AND v.until = p.created_at
    WHERE p.op = 'v'
), chosen AS (
    SELECT e.*, row_number() OVER (ORDER BY e.seq) AS number,
           coalesce(sum(octet_length(e.json)) OVER (ORDER BY e.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM found AS e WHERE $LANE = %(lane)s AND $SELECTED
)
SELECT h.first, h.last, relay_position(), s.identity, s.epoch, c.seq, encode(c.id, 'hex'), c.created_at, c.kind, c.json
FROM (SELECT coalesce(min(seq), 0) AS first, coalesce(max(seq), 0) AS last FROM page) AS h CROSS JOIN relay_store AS s
LEFT JOIN (SELECT * FROM chosen WHERE number <= %(events)s + 1 AND before < %(bytes)s) AS c ON true
ORDER BY c.seq
