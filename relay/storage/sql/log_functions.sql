-- The order of changes: its lock, its numbers, its partitions, its epoch.

-- The key of the advisory lock of the order. Held for the last step of a writing transaction.
CREATE OR REPLACE FUNCTION relay_order_lock() RETURNS void
LANGUAGE sql VOLATILE AS $$ SELECT pg_advisory_xact_lock(7310579611) $$;

-- How many changes a partition of the log holds.
CREATE OR REPLACE FUNCTION relay_log_partition_size() RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT 1000000::bigint $$;

-- Makes sure that the log can take `seq`. Made apart and attached, which waits for no reader; the caller holds the lock of
-- the order, so that no two make the same one.
CREATE OR REPLACE FUNCTION relay_log_make_room(seq bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    number bigint := seq / relay_log_partition_size();
    name   text := 'relay_change_' || number;
BEGIN
    IF to_regclass(name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE relay_change INCLUDING ALL)', name);
        EXECUTE format('ALTER TABLE relay_change ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
            name, number * relay_log_partition_size(), (number + 1) * relay_log_partition_size());
    END IF;
END $$;

-- The newest number of the order, 0 before the first change.
CREATE OR REPLACE FUNCTION relay_position() RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT coalesce((SELECT c.seq FROM relay_change c ORDER BY c.seq DESC LIMIT 1), 0) $$;

-- The epoch, after a new one was begun if the server's timeline is not the one that was noted.
CREATE OR REPLACE FUNCTION relay_current_epoch() RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    now_on text := substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
    noted  relay_epoch;
BEGIN
    SELECT * INTO noted FROM relay_epoch;
    IF noted.timeline IS DISTINCT FROM now_on THEN
        INSERT INTO relay_epoch AS e (epoch, timeline) VALUES (1, now_on)
        ON CONFLICT (one) DO UPDATE SET epoch = e.epoch + 1, timeline = now_on WHERE e.timeline <> now_on;
        SELECT * INTO noted FROM relay_epoch;
    END IF;
    RETURN noted.epoch;
END $$;

-- Drops the partitions of the log that lie wholly below `keep_from`, never the one that holds the newest
-- change. Returns the names of what was dropped. A reader that holds a partition makes it wait no
-- longer than the caller's lock_timeout.
CREATE OR REPLACE FUNCTION relay_log_prune(keep_from bigint) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    part text;
    last_kept bigint := least(keep_from, relay_position()) / relay_log_partition_size();
BEGIN
    FOR part IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'relay_change'::regclass LOOP
        IF substring(part FROM '[0-9]+$')::bigint < last_kept THEN
            EXECUTE format('DROP TABLE %s', part);
            RETURN NEXT part;
        END IF;
    END LOOP;
END $$;

SELECT relay_log_make_room(0);
SELECT relay_log_make_room(relay_log_partition_size());
SELECT relay_current_epoch();
