-- Retention of whole partitions: one that retention hides, but for the kinds that are always kept, gets a new table with these alone
-- in its place, and is dropped. Nothing is removed row by row. For a partition <suffix> the new tables are <table>_<suffix>_kept
-- until they take its place; the old ones are <table>_<suffix>_gone from then on. Each step may be killed and begun again.

-- The oldest partition of which retention hides everything that it may remove, if it holds any of that and at most `most` events
-- that stay; null if there is none.
CREATE FUNCTION relay_partition_purgeable(most bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
DECLARE
    part      record;
    is_wanted boolean;
BEGIN
    FOR part IN SELECT p.suffix, p.ends FROM relay_partition_list('relay_event') AS p WHERE p.ends IS NOT NULL LOOP
        CONTINUE WHEN NOT coalesce((
            SELECT range_agg(r.kinds) @> '$REMOVABLE'::int4multirange FROM relay_retention AS r
            WHERE NOT r.others AND r.before >= part.ends), false);
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM unnest(%L::int4multirange) AS s WHERE EXISTS ('
            'SELECT FROM %2$I AS e WHERE e.kind >= lower(s) AND e.kind < upper(s))) AND (SELECT count(*) FROM ('
            'SELECT FROM unnest(''{[,]}''::int4multirange - %1$L::int4multirange) AS s CROSS JOIN LATERAL ('
            'SELECT FROM %2$I AS e WHERE e.kind >= coalesce(lower(s), 0) AND e.kind < coalesce(upper(s), 65536) OFFSET 0) AS e '
            'LIMIT %3$s) AS kept) < %3$s',
            '$REMOVABLE', 'relay_event_' || part.suffix, most + 1) INTO is_wanted;
        IF is_wanted THEN
            RETURN part.suffix;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- Copies what stays of a partition, beside writers and readers. Returns false while a request to vanish is carried out, whose
-- removals the log does not tell.
CREATE FUNCTION relay_partition_copy(suffix text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    position bigint := relay_position();
    part     record;
    bounds   text;
    whole    text;
BEGIN
    SELECT p.begins, p.ends INTO part FROM relay_partition_list('relay_event') AS p WHERE p.suffix = $1;
    bounds := format('CHECK (created_at < %s%s)', part.ends, ' AND created_at >= ' || part.begins);
    IF EXISTS (SELECT FROM relay_vanish_pending) THEN
        RETURN false;
    END IF;
    FOREACH whole IN ARRAY '{relay_event,relay_tag}'::text[] LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I', whole || '_' || suffix || '_kept');
        PERFORM relay_partition_create(whole, suffix || '_kept', bounds);
    END LOOP;
    EXECUTE format(
        'WITH kept AS (INSERT INTO %I SELECT e.* FROM %I AS e WHERE NOT relay_is_removable(e.kind) '
        'RETURNING id, created_at, kind, tag_keys) '
        'INSERT INTO %I (key, created_at, event_id, kind) SELECT k.key, e.created_at, e.id, e.kind '
        'FROM kept AS e CROSS JOIN unnest(e.tag_keys) AS k (key)',
        'relay_event_' || suffix || '_kept', 'relay_event_' || suffix, 'relay_tag_' || suffix || '_kept');
    EXECUTE format('COMMENT ON TABLE %I IS %L', 'relay_event_' || suffix || '_kept', position);
    RETURN true;
END $$;

-- Applies to the copy what the log has after it. Returns how many events were looked at, null if that cannot be done: copy anew.
CREATE FUNCTION relay_partition_catch_up(suffix text) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    kept     text := 'relay_event_' || suffix || '_kept';
    position bigint := obj_description(to_regclass(kept), 'pg_class')::bigint;
    newest   bigint := relay_position();
    part     record;
    touched  bytea[];
BEGIN
    IF position IS NULL OR EXISTS (SELECT FROM relay_vanish_pending)
       OR EXISTS (SELECT FROM relay_change AS c WHERE c.seq > position AND c.op = 'v')
       OR (newest > position AND NOT EXISTS (SELECT FROM relay_change AS c WHERE c.seq = position + 1)) THEN
        RETURN NULL;
    END IF;
    SELECT p.begins, p.ends INTO part FROM relay_partition_list('relay_event') AS p WHERE p.suffix = $1;
    touched := ARRAY(
        SELECT DISTINCT c.event_id FROM relay_change AS c
        WHERE c.seq > position AND c.op <> 'p' AND c.created_at < part.ends AND c.created_at >= coalesce(part.begins, 0));
    IF cardinality(touched) > 0 THEN
        EXECUTE format(
            'WITH gone AS (DELETE FROM %I AS k WHERE k.id = ANY ($1) AND NOT EXISTS (SELECT FROM %I AS e WHERE e.id = k.id) '
            'RETURNING k.id, k.created_at, k.tag_keys) DELETE FROM %I AS t USING gone AS g '
            'WHERE t.key = ANY (g.tag_keys) AND t.created_at = g.created_at AND t.event_id = g.id',
            kept, 'relay_event_' || suffix, 'relay_tag_' || suffix || '_kept') USING touched;
        EXECUTE format(
            'WITH kept AS (INSERT INTO %I SELECT e.* FROM %I AS e WHERE e.id = ANY ($1) AND NOT relay_is_removable(e.kind) '
            'ON CONFLICT DO NOTHING RETURNING id, created_at, kind, tag_keys) '
            'INSERT INTO %I (key, created_at, event_id, kind) SELECT k.key, e.created_at, e.id, e.kind '
            'FROM kept AS e CROSS JOIN unnest(e.tag_keys) AS k (key)',
            kept, 'relay_event_' || suffix, 'relay_tag_' || suffix || '_kept') USING touched;
    END IF;
    EXECUTE format('COMMENT ON TABLE %I IS %L', kept, newest);
    RETURN cardinality(touched);
END $$;

-- Puts the copy in place of the partition. Returns false if that cannot be done: copy anew. With both tables locked no transaction
-- has changed an event without its entry in the log being seen.
CREATE FUNCTION relay_partition_swap(suffix text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    whole text;
    part  record;
BEGIN
    LOCK TABLE relay_event, relay_tag IN ACCESS EXCLUSIVE MODE;
    IF relay_partition_catch_up(suffix) IS NULL THEN
        RETURN false;
    END IF;
    SELECT coalesce(p.begins::text, 'MINVALUE') AS begins, p.ends INTO part
    FROM relay_partition_list('relay_event') AS p WHERE p.suffix = $1;
    FOREACH whole IN ARRAY '{relay_event,relay_tag}'::text[] LOOP
        EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', whole, whole || '_' || suffix);
        EXECUTE format('ALTER TABLE %I RENAME TO %I', whole || '_' || suffix, whole || '_' || suffix || '_gone');
        EXECUTE format('ALTER TABLE %I RENAME TO %I', whole || '_' || suffix || '_kept', whole || '_' || suffix);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
            whole, whole || '_' || suffix, part.begins, part.ends);
    END LOOP;
    RETURN true;
END $$;

-- Drops the tables whose place a copy has taken, and counts what is gone with them. Returns how many events that was.
CREATE FUNCTION relay_partition_discard() RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    part record;
    gone bigint;
    total bigint := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7310579612) THEN -- another transaction is at it, and counts them
        RETURN 0;
    END IF;
    FOR part IN SELECT p.oid::regclass AS name FROM pg_class AS p JOIN pg_class AS w USING (relnamespace)
                WHERE w.oid = 'relay_event'::regclass AND p.relkind = 'r' AND p.relname ~ '^relay_event_.*_gone$' LOOP
        EXECUTE format('SELECT count(*) FROM %s WHERE relay_is_removable(kind)', part.name) INTO gone;
        EXECUTE format('DROP TABLE %s', part.name);
        total := total + gone;
    END LOOP;
    FOR part IN SELECT p.oid::regclass AS name FROM pg_class AS p JOIN pg_class AS w USING (relnamespace)
                WHERE w.oid = 'relay_event'::regclass AND p.relkind = 'r' AND p.relname ~ '^relay_tag_.*_gone$' LOOP
        EXECUTE format('DROP TABLE %s', part.name);
    END LOOP;
    PERFORM relay_note_unlogged(total);
    RETURN total;
END $$;
