-- How events are removed. Under the order lock only the row in relay_event is deleted; its keys in relay_tag are noted in
-- relay_tag_garbage and deleted later by transactions without the lock, since deleting 5,000 of them takes 50 ms. A tag row
-- without its event matches nothing, because every statement that reads relay_tag joins relay_event.

-- Removes the rows of events and notes their tag rows. Returns id and time of those that were there. The caller holds the
-- order lock and logs the changes.
CREATE FUNCTION relay_remove_events(gone bytea[]) RETURNS TABLE (id bytea, created_at bigint)
LANGUAGE sql VOLATILE SET enable_seqscan = off AS $$
    WITH event AS (
        DELETE FROM relay_event AS e WHERE e.id = ANY (gone) RETURNING e.id, e.created_at, e.tag_keys
    ), noted AS (
        INSERT INTO relay_tag_garbage (event_id, created_at, tag_keys)
        SELECT event.id, event.created_at, event.tag_keys FROM event WHERE event.tag_keys <> '{}'
    )
    SELECT event.id, event.created_at FROM event
$$;

-- Counts events whose removal the log has no entries for.
CREATE FUNCTION relay_note_unlogged(gone bigint) RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE relay_unlogged_removals AS u SET removed = u.removed + gone WHERE gone > 0
$$;

-- Deletes old tag rows of removed events that this transaction has inserted again; its own rows are recognised by xmin.
-- Waits for relay_collect_tags where that is deleting some of them.
CREATE FUNCTION relay_forget_old_tags(ids bytea[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    garbage relay_tag_garbage;
BEGIN
    FOR garbage IN DELETE FROM relay_tag_garbage AS g WHERE g.event_id = ANY (ids) RETURNING g.* LOOP
        -- A place is that of a row in one partition, which created_at tells.
        DELETE FROM relay_tag WHERE created_at = garbage.created_at AND event_id = garbage.event_id AND ctid = ANY (ARRAY(
            SELECT tag.place
            FROM unnest(garbage.tag_keys) AS k (key) CROSS JOIN LATERAL (
                SELECT t.ctid AS place FROM relay_tag AS t
                WHERE t.key = k.key AND t.created_at = garbage.created_at AND t.event_id = garbage.event_id
                  AND t.xmin <> pg_current_xact_id()::xid
                OFFSET 0
            ) AS tag
        ));
    END LOOP;
END $$;

-- Removes up to about `most` tag rows of events that are gone, oldest first; returns how many keys were done, 0 when nothing
-- is left. One small transaction without the order lock; several may run at once.
CREATE FUNCTION relay_collect_tags(most integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    done    integer := 0;
    garbage relay_tag_garbage;
    until   integer;
BEGIN
    FOR garbage IN SELECT * FROM relay_tag_garbage ORDER BY number LIMIT most FOR UPDATE SKIP LOCKED LOOP
        until := least(cardinality(garbage.tag_keys), garbage.removed + most - done);
        -- Each row is found by its index, whatever the tables held when this was planned; OFFSET 0 keeps the planner from
        -- making a join of the look-ups. A place is that of a row in one partition, which created_at tells.
        DELETE FROM relay_tag WHERE created_at = garbage.created_at AND event_id = garbage.event_id AND ctid = ANY (ARRAY(
            SELECT tag.place
            FROM unnest(garbage.tag_keys[garbage.removed + 1:until]) AS k (key) CROSS JOIN LATERAL (
                SELECT t.ctid AS place FROM relay_tag AS t
                WHERE t.key = k.key AND t.created_at = garbage.created_at AND t.event_id = garbage.event_id
                OFFSET 0
            ) AS tag
        ));
        done := done + until - garbage.removed;
        IF until = cardinality(garbage.tag_keys) THEN
            DELETE FROM relay_tag_garbage WHERE number = garbage.number;
        ELSE
            UPDATE relay_tag_garbage SET removed = until WHERE number = garbage.number;
        END IF;
        EXIT WHEN done >= most;
    END LOOP;
    RETURN done;
END $$;

-- Removes up to `most` events that expired before `now` (Unix seconds); returns how many. What has expired is looked up
-- before the lock is taken. Heads stay (40-5). Expired events are never served, so their order in the log does not matter.
CREATE FUNCTION relay_sweep_expired(now bigint, most integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    expired bytea[] := ARRAY(SELECT id FROM relay_event WHERE expires_at <= now ORDER BY expires_at LIMIT most);
    gone    bytea[];
    created_ats bigint[];
BEGIN
    IF cardinality(expired) = 0 THEN
        RETURN 0;
    END IF;
    PERFORM relay_order_lock();
    SELECT array_agg(r.id), array_agg(r.created_at) INTO gone, created_ats FROM relay_remove_events(expired) AS r;
    IF gone IS NULL THEN -- replaced or swept by another transaction since
        RETURN 0;
    END IF;
    PERFORM relay_log_append(array_fill('-'::"char", ARRAY[cardinality(gone)]), gone, created_ats, 0);
    RETURN cardinality(gone);
END $$;
