-- Drops the oldest letters of a peer and class beyond a number, so that what one policy refuses does not push out all else.
DELETE FROM replication_deadletter WHERE id IN (
    SELECT id FROM replication_deadletter WHERE peer_id = %(peer)s AND reason_class = %(class)s
    ORDER BY last_at DESC, id DESC OFFSET %(most)s)
