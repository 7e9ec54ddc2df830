-- Partitions of relay_event and relay_tag by created_at (relay/storage/partitions). Both have the same: `past` up to a time, one
-- for each period after it, and `later` for all times beyond. An id determines its created_at, which it is the hash of, so that a
-- primary key of both keeps ids unique. A store is one table each until an operator asks for partitions.
--
-- Every function here takes ACCESS EXCLUSIVE locks for some milliseconds. The caller sets a lock_timeout, so that others wait no
-- longer behind it, and tries again.

-- True once the events are partitioned.
CREATE FUNCTION relay_is_partitioned() RETURNS boolean
LANGUAGE sql STABLE AS $$ SELECT c.relkind = 'p' FROM pg_class AS c WHERE c.oid = 'relay_event'::regclass $$;

-- True for kinds that retention may remove.
CREATE FUNCTION relay_is_removable(kind integer) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$ SELECT '$REMOVABLE'::int4multirange @> kind $$;

-- Makes the two tables the partitions `past`, up to the time `until`, of partitioned ones with the same indexes. Before it each has
-- a validated constraint <table>_before_<until> and relay_event the unique index relay_event_id_time.
CREATE FUNCTION relay_partition_switch(until bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    whole text;
    past  text;
    made  record;
    served text; -- the comment of the key
BEGIN
    LOCK TABLE relay_event, relay_tag IN ACCESS EXCLUSIVE MODE;
    FOREACH whole IN ARRAY '{relay_event,relay_tag}'::text[] LOOP
        past := whole || '_past';
        EXECUTE format('ALTER TABLE %I RENAME TO %I', whole, past);
        FOR made IN SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indrelid = past::regclass LOOP
            EXECUTE format('ALTER INDEX %s RENAME TO %I', made.name, replace(made.name, whole, past));
        END LOOP;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING COMPRESSION) PARTITION BY RANGE (created_at)', whole, past);
        IF whole = 'relay_event' THEN
            served := obj_description('relay_event_past_pkey'::regclass, 'pg_class');
            ALTER TABLE relay_event_past DROP CONSTRAINT relay_event_past_pkey,
                ADD CONSTRAINT relay_event_past_pkey PRIMARY KEY USING INDEX relay_event_past_id_time;
            ALTER TABLE relay_event ADD CONSTRAINT relay_event_pkey PRIMARY KEY (id, created_at);
            EXECUTE format('COMMENT ON INDEX relay_event_pkey IS %L', served);
        END IF;
        FOR made IN SELECT pg_get_indexdef(indexrelid) AS statement, indexrelid::regclass::text AS name,
                           obj_description(indexrelid, 'pg_class') AS comment
                    FROM pg_index WHERE indrelid = past::regclass AND NOT indisprimary LOOP
            EXECUTE replace(made.statement, past, whole);
            EXECUTE format('COMMENT ON INDEX %I IS %L', replace(made.name, past, whole), made.comment);
        END LOOP;
        FOR made IN SELECT pg_get_userbyid(a.grantee) AS grantee, a.privilege_type
                    FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
                    WHERE c.oid = past::regclass AND a.grantee NOT IN (0, c.relowner) LOOP
            EXECUTE format('GRANT %s ON %I TO %I', made.privilege_type, whole, made.grantee);
        END LOOP;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%s)', whole, past, until);
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', past, whole || '_before_' || until);
        PERFORM relay_partition_create(whole, 'later', format('CHECK (created_at >= %s)', until));
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (MAXVALUE)', whole, whole || '_later', until);
    END LOOP;
END $$;

-- A table that can become a partition of `whole`, with the settings for vacuum that `past` has and the constraint `within`, so that
-- attaching it reads no row.
CREATE FUNCTION relay_partition_create(whole text, suffix text, within text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    options text := (SELECT array_to_string(c.reloptions, ', ') FROM pg_class AS c WHERE c.oid = to_regclass(whole || '_past'));
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL, CONSTRAINT within %s)', whole || '_' || suffix, whole, within);
    IF options <> '' THEN
        EXECUTE format('ALTER TABLE %I SET (%s)', whole || '_' || suffix, options);
    END IF;
END $$;

-- Adds the partition of a period, which begins where `later` does: the few events of that time leave `later`.
CREATE FUNCTION relay_partition_add(suffix text, begins bigint, ends bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    whole text;
    later text;
    made  text;
BEGIN
    LOCK TABLE relay_event, relay_tag IN ACCESS EXCLUSIVE MODE;
    FOREACH whole IN ARRAY '{relay_event,relay_tag}'::text[] LOOP
        later := whole || '_later';
        made := whole || '_' || suffix;
        PERFORM relay_partition_create(whole, suffix, format('CHECK (created_at >= %s AND created_at < %s)', begins, ends));
        EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', whole, later);
        EXECUTE format('WITH moved AS (DELETE FROM %I WHERE created_at < %s RETURNING *) INSERT INTO %I SELECT * FROM moved',
            later, ends, made);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', whole, made, begins, ends);
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT within, ADD CONSTRAINT within CHECK (created_at >= %s)', later, ends);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (MAXVALUE)', whole, later, ends);
    END LOOP;
END $$;

-- The partitions of a table, oldest first: the part of the name after that of the table, where each begins and ends (null: nowhere),
-- its size in bytes, and its rows as PostgreSQL last estimated them.
CREATE FUNCTION relay_partition_list(whole regclass)
    RETURNS TABLE (suffix text, begins bigint, ends bigint, bytes bigint, estimate bigint)
LANGUAGE sql STABLE AS $$
    SELECT substr(p.relname, length(w.relname) + 2), (regexp_match(b.bound, 'FROM \(''?(\d+)'))[1]::bigint,
           (regexp_match(b.bound, 'TO \(''?(\d+)'))[1]::bigint, pg_total_relation_size(p.oid), greatest(p.reltuples, 0)::bigint
    FROM pg_class AS w JOIN pg_inherits AS i ON i.inhparent = w.oid JOIN pg_class AS p ON p.oid = i.inhrelid
    CROSS JOIN LATERAL (SELECT pg_get_expr(p.relpartbound, p.oid) AS bound) AS b
    WHERE w.oid = whole ORDER BY 3 NULLS LAST
$$;
