-- Each index of the relay's schema, one row a partition, with its root. `key_columns`: width of each column in the statistics
-- of its table, null if it was never analysed. `since`: when the statistics of the database were last reset.
SELECT coalesce(root.relname, c.relname) AS root, coalesce(troot.relname, t.relname) AS table_name,
       pg_relation_size(c.oid) AS bytes, greatest(c.reltuples, 0)::bigint AS entries,
       coalesce(s.idx_scan, 0) AS scans, s.last_idx_scan AS used_at,
       i.indisunique AS is_unique, i.indisvalid AS is_valid,
       coalesce(obj_description(coalesce(root.oid, c.oid), 'pg_class'), '') AS question,
       coalesce((SELECT option_value::integer FROM pg_options_to_table(c.reloptions) WHERE option_name = 'fillfactor'), 90) AS fill,
       ARRAY(SELECT w.avg_width FROM pg_attribute AS a
             LEFT JOIN pg_attribute AS of_table ON of_table.attrelid = t.oid
                  AND of_table.attnum = (string_to_array(i.indkey::text, ' ')::smallint[])[a.attnum] AND of_table.attnum > 0
             LEFT JOIN pg_stats AS w ON w.schemaname = n.nspname AND w.tablename = t.relname AND w.attname = of_table.attname
             WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum) AS widths,
       ARRAY(SELECT y.typalign::text FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid
             WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum) AS aligns
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = current_schema()
LEFT JOIN pg_class AS root ON root.oid = pg_partition_root(c.oid)
LEFT JOIN pg_class AS troot ON troot.oid = pg_partition_root(t.oid)
LEFT JOIN pg_stat_user_indexes AS s ON s.indexrelid = c.oid
WHERE c.relkind = 'i'
ORDER BY pg_relation_size(c.oid) DESC, c.relname
