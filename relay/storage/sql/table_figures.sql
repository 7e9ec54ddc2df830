-- Each table of the relay's schema, one row a partition, with its root. Reads statistics alone: no table is counted.
-- `widths`, `fill`: what the estimate of its size is made of (relay/storage/table_figures.py). `freeze_age`: transactions
-- since the oldest row that is not frozen.
SELECT coalesce(root.relname, c.relname) AS root, c.relname AS name,
       greatest(c.reltuples, 0)::bigint AS rows, coalesce(s.n_live_tup, 0) AS live, coalesce(s.n_dead_tup, 0) AS dead,
       pg_relation_size(c.oid) AS bytes, coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toast_bytes,
       pg_indexes_size(c.oid) AS index_bytes,
       greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at, greatest(s.last_analyze, s.last_autoanalyze) AS analyzed_at,
       coalesce(s.n_tup_upd, 0) AS updates, coalesce(s.n_tup_hot_upd, 0) AS hot_updates,
       age(c.relfrozenxid) AS freeze_age,
       coalesce((SELECT option_value::integer FROM pg_options_to_table(c.reloptions) WHERE option_name = 'fillfactor'), 100) AS fill,
       coalesce((SELECT option_value::bigint FROM pg_options_to_table(c.reloptions)
                 WHERE option_name = 'autovacuum_vacuum_threshold'), current_setting('autovacuum_vacuum_threshold')::bigint)
       + coalesce((SELECT option_value::float FROM pg_options_to_table(c.reloptions)
                   WHERE option_name = 'autovacuum_vacuum_scale_factor'), current_setting('autovacuum_vacuum_scale_factor')::float)
         * greatest(c.reltuples, 0) AS dead_before_vacuum,
       ARRAY(SELECT coalesce(w.avg_width, 0) FROM pg_attribute AS a
             LEFT JOIN pg_stats AS w ON w.schemaname = n.nspname AND w.tablename = c.relname AND w.attname = a.attname
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS widths,
       ARRAY(SELECT t.typalign::text FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS aligns
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = current_schema()
LEFT JOIN pg_class AS root ON root.oid = pg_partition_root(c.oid)
LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'm')
ORDER BY pg_total_relation_size(c.oid) DESC, c.relname
