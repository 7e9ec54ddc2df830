-- How many events were removed without an entry of their own in the log, since a request to vanish or a purge hid them: one row.
-- Here, because the functions of every version need it when this migration calls them.
CREATE TABLE IF NOT EXISTS relay_unlogged_removals (removed bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO relay_unlogged_removals SELECT 0 WHERE NOT EXISTS (SELECT FROM relay_unlogged_removals);
