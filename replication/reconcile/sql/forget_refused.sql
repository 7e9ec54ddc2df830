DELETE FROM replication_refusedid AS r WHERE r.peer_id = %(peer)s AND r.retry_at <= to_timestamp(%(now)s)
