-- Retention: events of some kinds are removed when they were created before a time (relay/protocol/retention.py says which).
-- For all authors one entry of the log, op 'p', hides them at once in every process and query, however many they are: the kinds in
-- place of an event's id, the time in created_at. The rows are removed afterwards by small transactions without the order lock,
-- which log nothing. A row of relay_retention with `others` spares the keys on the list of allowed keys, which changes: its events
-- are removed by small transactions under the lock, each of which logs them.

-- Brings relay_retention to these classes: an entry each of kinds, time, and whether allowed keys are spared. A time that rises
-- hides what lies before it; one that falls lets older events in again once all that was hidden is removed. A key that
-- was taken off the list of allowed keys begins the walks that spare keys anew. Returns how many entries were logged.
CREATE FUNCTION relay_retention_set(classes int4multirange[], befores bigint[], spared boolean[]) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    class  record;
    known  relay_retention;
    logged integer := 0;
    newest bigint; -- version of a key that was taken off the list
BEGIN
    PERFORM FROM relay_retention FOR UPDATE; -- before the order lock, as relay_retention_step does
    PERFORM relay_order_lock();
    SELECT coalesce(max(e.version), 0) INTO newest FROM relay_list_entry AS e WHERE e.list = 'allowed_key' AND e.removed;
    FOR class IN SELECT * FROM unnest(classes, befores, spared) AS c (kinds, before, others) LOOP
        SELECT * INTO known FROM relay_retention AS r WHERE r.kinds = class.kinds AND r.others = class.others;
        IF NOT FOUND THEN
            INSERT INTO relay_retention (kinds, others, before, lists) VALUES (class.kinds, class.others, class.before, newest);
        ELSIF class.before > known.before THEN
            UPDATE relay_retention AS r SET before = class.before, pending = true
            WHERE r.kinds = class.kinds AND r.others = class.others;
        ELSIF class.before < known.before AND NOT known.pending THEN
            UPDATE relay_retention AS r SET before = class.before, walked_to = class.before - 1, walked_id = ''
            WHERE r.kinds = class.kinds AND r.others = class.others;
        END IF;
        IF class.others AND known.lists <> newest THEN
            UPDATE relay_retention AS r SET lists = newest, pending = true, walked_to = -1, walked_id = ''
            WHERE r.kinds = class.kinds AND r.others;
        END IF;
        IF NOT class.others AND class.before > coalesce(known.before, -1) THEN
            PERFORM relay_log_append('{p}', ARRAY[(
                SELECT string_agg(substr(int4send(lower(s)), 3) || substr(int4send(upper(s) - 1), 3), ''::bytea ORDER BY s)
                FROM unnest(class.kinds) AS s
            )], ARRAY[class.before], 0);
            logged := logged + 1;
        END IF;
    END LOOP;
    DELETE FROM relay_retention AS r WHERE NOT r.pending AND NOT EXISTS (
        SELECT FROM unnest(classes, spared) AS c (kinds, others) WHERE c.kinds = r.kinds AND c.others = r.others);
    UPDATE relay_lease AS l SET purged_before = now.before -- relay_write reads it
    FROM (SELECT coalesce(max(r.before), -1) AS before FROM relay_retention AS r) AS now WHERE l.purged_before <> now.before;
    RETURN logged;
END $$;

-- True if retention keeps out an event.
CREATE FUNCTION relay_is_purged(kind integer, created_at bigint, pubkey bytea) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM relay_retention AS r
        WHERE r.before > $2 AND r.kinds @> $1 AND NOT (r.others AND relay_is_allowed($3)))
$$;

-- True if the key is on the list of allowed keys.
CREATE FUNCTION relay_is_allowed(pubkey bytea) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM relay_list_entry AS e
        WHERE e.list = 'allowed_key' AND e.key = encode($1, 'hex') AND NOT e.removed)
$$;

-- One small transaction of the removal: looks at up to `most` events of the class of which least was done, oldest first. Returns
-- false if there was nothing to do; another transaction may be at it.
CREATE FUNCTION relay_retention_step(most integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
DECLARE
    class       relay_retention;
    gone_ids    bytea[];
    created_ats bigint[];
    last_created_at bigint;
    last_id     bytea;
    looked_at   integer;
    gone        integer := 0;
BEGIN
    SELECT * INTO class FROM relay_retention AS r WHERE r.pending ORDER BY r.removed LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT array_agg(e.id) FILTER (WHERE class.kinds @> e.kind AND NOT (class.others AND relay_is_allowed(e.pubkey))),
           (array_agg(e.created_at))[count(*)::integer], (array_agg(e.id))[count(*)::integer], count(*)
    INTO gone_ids, last_created_at, last_id, looked_at
    FROM (
        SELECT e.id, e.created_at, e.kind, e.pubkey FROM relay_event AS e
        WHERE e.created_at >= class.walked_to AND e.created_at < class.before
          AND (e.created_at > class.walked_to OR e.id < class.walked_id)
        ORDER BY e.created_at, e.id DESC LIMIT most -- relay_event_newest backwards, the index alone
    ) AS e;
    IF gone_ids IS NOT NULL AND class.others THEN
        PERFORM relay_order_lock();
        SELECT array_agg(r.id), array_agg(r.created_at), count(*) INTO gone_ids, created_ats, gone
        FROM relay_remove_events(gone_ids) AS r;
        IF gone > 0 THEN
            PERFORM relay_log_append(array_fill('-'::"char", ARRAY[gone]), gone_ids, created_ats, 0);
        END IF;
    ELSIF gone_ids IS NOT NULL THEN
        SELECT count(*) INTO gone FROM relay_remove_events(gone_ids);
        PERFORM relay_note_unlogged(gone);
    END IF;
    UPDATE relay_retention AS r
    SET removed = r.removed + gone, pending = looked_at = most,
        walked_to = CASE WHEN looked_at = most THEN last_created_at ELSE r.before - 1 END,
        walked_id = CASE WHEN looked_at = most THEN last_id ELSE '' END
    WHERE r.kinds = class.kinds AND r.others = class.others;
    RETURN true;
END $$;
