-- What needs the functions: the log into its new partitions, and the store's first row, whose epoch goes on.

SELECT relay_log_make_room(n * relay_log_partition_size())
FROM (
    SELECT coalesce(min(seq), 0) / relay_log_partition_size() AS low, coalesce(max(seq), 0) / relay_log_partition_size() AS high
    FROM relay_change_before
) AS held, generate_series(held.low, held.high + 1) AS n;
INSERT INTO relay_change (seq, created_at, origin, op, event_id)
SELECT seq, created_at, origin, op, event_id FROM relay_change_before ORDER BY seq;
DROP TABLE relay_change_before;

INSERT INTO relay_store (identity, epoch, generation, timeline, started_at, database_oid, table_oid, system_identifier)
SELECT relay_random_name(), coalesce(noted.epoch, 1), relay_random_name(), coalesce(noted.timeline, relay_timeline()),
       pg_postmaster_start_time(), relay_database_oid(), 'relay_store'::regclass, relay_system_identifier()
FROM (SELECT) AS always LEFT JOIN relay_epoch AS noted ON true;
DROP TABLE relay_epoch;
