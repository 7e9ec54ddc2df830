-- The log, the total order of changes: its lock, its numbers, its partitions.

-- Takes the order lock, an advisory lock that is held for the last step of a writing transaction.
CREATE FUNCTION relay_order_lock() RETURNS void
LANGUAGE sql VOLATILE AS $$ SELECT pg_advisory_xact_lock(7310579611) $$;

-- How many changes a partition of the log holds.
CREATE FUNCTION relay_log_partition_size() RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT 1000000::bigint $$;

-- Creates the partition of `seq` if it does not exist. It is created separately and attached, which waits for no reader. The
-- caller holds the order lock, so that no two transactions create the same one.
CREATE FUNCTION relay_log_make_room(seq bigint) RETURNS void
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

-- The position: the newest number of the log, 0 before the first change.
CREATE FUNCTION relay_position() RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT coalesce((SELECT c.seq FROM relay_change c ORDER BY c.seq DESC LIMIT 1), 0) $$;

-- Appends changes to the log, numbered in the order of the arrays; returns the number of the first one.
-- The caller holds the order lock.
CREATE FUNCTION relay_log_append(ops "char"[], event_ids bytea[], created_ats bigint[], origin integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    before bigint := relay_position();
    last   bigint := before + cardinality(ops);
    size   bigint := relay_log_partition_size();
BEGIN
    IF last / size > before / size THEN
        PERFORM relay_log_make_room(last);
        PERFORM relay_log_make_room(last + size); -- in advance, so that no reader waits for it
    END IF;
    INSERT INTO relay_change (seq, op, event_id, created_at, origin)
    SELECT before + n, c.op, c.event_id, c.created_at, relay_log_append.origin
    FROM unnest(ops, event_ids, created_ats) WITH ORDINALITY AS c (op, event_id, created_at, n);
    RETURN before + 1;
END $$;

-- Drops the partitions of the log that are completely below `keep_from`, never the one of the newest change. Returns their
-- names. Waits for readers of a partition no longer than the caller's lock_timeout.
CREATE FUNCTION relay_log_prune(keep_from bigint) RETURNS SETOF text
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
