-- Drops the oldest runs with a peer beyond a number, but the newest that ended well, of all and of those that compared everything.
DELETE FROM replication_repair AS r WHERE r.peer_id = %(peer)s AND r.id IN (
    SELECT o.id FROM replication_repair AS o WHERE o.peer_id = %(peer)s ORDER BY o.started_at DESC OFFSET %(most)s)
AND r.id NOT IN (
    SELECT w.id FROM (
        SELECT g.id, g.since IS NULL AND g.until IS NULL AS is_whole,
               row_number() OVER (PARTITION BY g.since IS NULL AND g.until IS NULL ORDER BY g.finished_at DESC) AS n
        FROM replication_repair AS g WHERE g.peer_id = %(peer)s AND g.error = '' AND g.finished_at IS NOT NULL
    ) AS w WHERE w.n = 1)
