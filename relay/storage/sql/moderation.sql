-- What operators do (relay/services/moderation.py). Each function is a transaction of its own: it takes the order lock first, so
-- that no event of a banned key, and no banned event, is stored after it.

-- Adds, changes or lifts an entry of a list. Returns its version.
CREATE FUNCTION relay_list_put(in_list text, named text, why text, upto bigint, who text, lifted boolean) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    newest bigint;
BEGIN
    PERFORM relay_order_lock();
    UPDATE relay_list_version AS v SET version = v.version + 1 RETURNING v.version INTO STRICT newest;
    INSERT INTO relay_list_entry AS e (version, list, key, reason, until, changed_by, removed)
    VALUES (newest, in_list, named, why, upto, who, lifted)
    ON CONFLICT (list, key) DO UPDATE SET version = excluded.version, reason = excluded.reason, until = excluded.until,
        changed_by = excluded.changed_by, changed_at = excluded.changed_at, removed = excluded.removed;
    RETURN newest;
END $$;

-- True if the key is banned now.
CREATE FUNCTION relay_is_banned(pubkey bytea) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM relay_list_entry AS e
        WHERE e.list = 'banned_key' AND e.key = encode(pubkey, 'hex') AND NOT e.removed
          AND (e.until = 0 OR e.until > extract(epoch FROM clock_timestamp())))
$$;

-- True if nothing that the key made at that time may be stored: it has vanished, an operator removes its events, or it is banned.
CREATE FUNCTION relay_is_shut_out(pubkey bytea, created_at bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM relay_vanish AS v WHERE v.pubkey = $1 AND v.until >= $2)
        OR EXISTS (SELECT FROM relay_vanish_pending AS v WHERE v.pubkey = $1 AND v.until >= $2)
        OR relay_is_banned($1)
$$;

-- Bans a key. With `removes` what it stored is hidden by one entry of the log, as for a request to vanish, and removed by the
-- same job (vanish.sql); unlike there its events may come back once the ban is lifted.
CREATE FUNCTION relay_ban_key(banned bytea, why text, upto bigint, who text, removes boolean) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    noted  bigint := relay_list_put('banned_key', encode(banned, 'hex'), why, upto, who, false);
    newest bigint;
    number bigint;
BEGIN
    UPDATE relay_lease SET has_bans = true WHERE NOT has_bans; -- relay_write reads it
    IF removes THEN
        newest := greatest(
            extract(epoch FROM clock_timestamp())::bigint,
            (SELECT e.created_at FROM relay_event AS e WHERE e.pubkey = banned ORDER BY e.created_at DESC LIMIT 1));
        UPDATE relay_lease SET vanished_until = greatest(vanished_until, newest);
        number := relay_log_append('{v}', ARRAY[banned], ARRAY[newest], 0);
        INSERT INTO relay_vanish_pending AS p (pubkey, tag_key, until, seq, walked_to)
        VALUES (banned, '\x7001'::bytea || banned, newest, number, newest)
        ON CONFLICT (pubkey) DO UPDATE SET until = greatest(p.until, excluded.until), seq = excluded.seq, step = 'a',
            walked_to = greatest(p.until, excluded.until), walked_id = '';
    END IF;
    RETURN noted;
END $$;

-- Removes an event, and keeps it away. Returns whether it was stored.
CREATE FUNCTION relay_ban_event(banned bytea, why text, who text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    gone        bytea[];
    created_ats bigint[];
BEGIN
    PERFORM relay_list_put('banned_event', encode(banned, 'hex'), why, 0, who, false);
    INSERT INTO relay_tombstone (event_id, deleter) VALUES (banned, 'operator') ON CONFLICT DO NOTHING;
    UPDATE relay_lease SET has_tombstones = true WHERE NOT has_tombstones; -- relay_write reads it
    SELECT array_agg(r.id), array_agg(r.created_at) INTO gone, created_ats FROM relay_remove_events(ARRAY[banned]) AS r;
    IF gone IS NULL THEN
        RETURN false;
    END IF;
    PERFORM relay_log_append('{-}', gone, created_ats, 0);
    RETURN true;
END $$;

-- Lets an event come back.
CREATE FUNCTION relay_unban_event(banned bytea, why text, who text) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    DELETE FROM relay_tombstone AS t WHERE t.event_id = banned AND t.deleter = 'operator';
    SELECT relay_list_put('banned_event', encode(banned, 'hex'), why, 0, who, true)
$$;
