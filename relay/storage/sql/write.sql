-- The one writing transaction: a batch of events, stored, ordered and numbered in one statement.
--
-- A batch comes in columns, which is the cheapest way to send it (figures: ARCHITECTURE.md):
--   ids, pubkeys      32 bytes an event, one after the other
--   created_ats, kinds, expires_ats   an entry an event
--   jsons, json_ends  the texts in UTF-8 one after the other, and where each ends (bytes)
--   keys              the tag keys, one after the other
--   tag_events, tag_starts, tag_lengths   an entry a tag key: the event's number, where the key starts in `keys`, its length
--   head_events, head_ds   an entry a replaceable event: its number, and its `d` in hex. No address twice in a batch.
--   me       the name of the instance that writes
--   origin   0 for events that were published here, otherwise the peer region that they come from
--   target_events, target_ids, place_events, place_kinds, place_ds   what kinds 5 name (deletion.sql). No batch holds an event
--            of which the author, or an owner of a gift wrap, is the author of a kind 5 in it.
-- Events come in the order in which they arrived, which becomes their order in the log. Their numbers count from 1.
--
-- The steps, each a function with a contract of its own or, where one event takes a shorter way, a section:
--   1. relay_insert_batch    inserts rows: the costly part, before the lock; relay_note_deletions the tombstones
--   2. relay_order_lock, relay_lease_respect   from here to the commit no other transaction writes
--   3. relay_refused         finds what has been deleted, and who has vanished; called if a sign of it is found
--   4. relay_decide_heads    compares the new events with the stored ones; bounded by the batch, never by what is removed
--   5. relay_apply_targets   removes what the deletions of the batch name
--   6. relay_log_append      numbers the changes in the order of the events, the '-' of an event before its '+'
--
-- Returns one row, null for what there is none of:
--   first_seq   the number of the first change, 0 if there was none
--   duplicates  events that were known already
--   outdated    versions that are older than the stored head (01-K06, 01-K07)
--   refused     events that may not be stored any more: deleted, older than retention keeps them, or their author has vanished
--               (09-8, 62-3)
--   removed_by, removed_ids   an entry an event that was removed: the number of the event that replaced or deleted it, and its
--               id (32 bytes each); in the order of the log
--   newest      a position that includes everything found or written here, duplicates too
--   hold_ms     for how long the acknowledgements have to be held (lease.sql)
CREATE FUNCTION relay_write(
    ids bytea, pubkeys bytea, created_ats bigint[], kinds integer[], expires_ats bigint[],
    jsons bytea, json_ends integer[], keys bytea,
    tag_events integer[], tag_starts integer[], tag_lengths integer[],
    head_events integer[], head_ds text[], me text, origin integer,
    target_events integer[] DEFAULT '{}', target_ids bytea DEFAULT '', place_events integer[] DEFAULT '{}',
    place_kinds integer[] DEFAULT '{}', place_ds text[] DEFAULT '{}',
    OUT first_seq bigint, OUT duplicates integer[], OUT outdated integer[], OUT refused integer[],
    OUT removed_by integer[], OUT removed_ids bytea, OUT newest bigint, OUT hold_ms integer)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    total    integer := cardinality(created_ats);
    added    integer[];
    -- Null while there is nothing to say, as in the result: an empty array costs a microsecond.
    noted    integer[]; -- deletions whose tombstones are written
    deleted  integer[];
    vanished integer[];
    removed  bytea[];
    removed_created_ats bigint[];
    id_list  bytea[];
    is_suspect boolean := false;
    has_tombstones  boolean; -- this and the next four: relay_lease
    vanished_until  bigint;
    addresses_until bigint;
    has_bans        boolean;
    purged_before   bigint;
    applied  record;
BEGIN
    -- 1. The costly part, before the lock.
    IF total = 1 THEN
        -- Plain inserts, as relay_insert_batch does: that statement costs 0.2 ms to begin with, whatever is in it.
        INSERT INTO relay_event (id, pubkey, created_at, kind, expires_at, tag_keys, json)
        VALUES (ids, pubkeys, created_ats[1], kinds[1], expires_ats[1],
                ARRAY(SELECT substr(keys, start, length) FROM unnest(tag_starts, tag_lengths) AS t (start, length)),
                convert_from(jsons, 'UTF8'))
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            added := '{1}';
            IF cardinality(tag_starts) > 0 THEN
                INSERT INTO relay_tag (key, created_at, event_id, kind)
                SELECT substr(keys, start, length), created_ats[1], ids, kinds[1]
                FROM unnest(tag_starts, tag_lengths) AS t (start, length);
                IF EXISTS (SELECT FROM relay_tag_garbage WHERE event_id = ids) THEN
                    PERFORM relay_forget_old_tags(ARRAY[ids]);
                END IF;
            END IF;
        ELSE
            added := '{}';
        END IF;
    ELSE
        added := relay_insert_batch(
            ids, pubkeys, created_ats, kinds, expires_ats, jsons, json_ends, keys, tag_events, tag_starts, tag_lengths);
    END IF;
    IF cardinality(added) < total THEN
        duplicates := ARRAY(SELECT n FROM generate_series(1, total) AS g (n) WHERE n <> ALL (added));
    END IF;
    IF cardinality(target_events) > 0 OR cardinality(place_events) > 0 THEN
        noted := relay_note_deletions(
            added, pubkeys, created_ats, target_events, target_ids, place_events, place_kinds, place_ds);
    END IF;
    IF total > 1 THEN
        id_list := ARRAY(SELECT substr(ids, 32 * n - 31, 32) FROM generate_series(1, total) AS g (n));
    END IF;
    first_seq := 0;
    newest := 0;

    -- 2. From here on no other transaction writes. Only duplicates: no lock is needed; the position is read before the lease, so
    -- that a lease that one of the changes up to it has ended is seen as ended.
    IF cardinality(added) > 0 THEN
        PERFORM pg_advisory_xact_lock(7310579611); -- relay_order_lock(), whose call takes 5 us
    ELSE
        newest := relay_position();
    END IF;
    SELECT CASE WHEN (instance IS NULL OR instance = me) AND ended_at < clock_timestamp() - interval '350 ms' THEN 0 END,
           l.has_tombstones, l.vanished_until, l.addresses_until, l.has_bans, l.purged_before
    INTO hold_ms, has_tombstones, vanished_until, addresses_until, has_bans, purged_before FROM relay_lease AS l;
    IF hold_ms IS NULL THEN
        hold_ms := relay_lease_respect(me);
    END IF;

    -- 3. What may not be stored. In the common case no author has vanished at such a time, and nothing is found by id.
    IF has_tombstones THEN
        IF total = 1 THEN
            is_suspect := EXISTS (SELECT FROM relay_tombstone AS t WHERE t.event_id = ids);
        ELSE
            is_suspect := EXISTS (SELECT FROM relay_tombstone AS t WHERE t.event_id = ANY (id_list));
        END IF;
    END IF;
    IF NOT is_suspect AND vanished_until >= ANY (created_ats) THEN
        is_suspect := EXISTS (
            SELECT FROM generate_series(1, total) AS g (n) CROSS JOIN LATERAL (
                SELECT v.until FROM relay_vanish AS v WHERE v.pubkey = substr(pubkeys, 32 * n - 31, 32) OFFSET 0
            ) AS v WHERE v.until >= created_ats[n]
        ) OR (kinds && ARRAY[$RECIPIENTS_OWN] AND EXISTS (SELECT FROM relay_vanish_pending));
    END IF;
    IF NOT is_suspect AND has_bans THEN -- an entry that was lifted is found, too: relay_refused decides
        is_suspect := EXISTS (
            SELECT FROM generate_series(1, total) AS g (n) CROSS JOIN LATERAL (
                SELECT FROM relay_list_entry AS e
                WHERE e.list = 'banned_key' AND e.key = encode(substr(pubkeys, 32 * n - 31, 32), 'hex') OFFSET 0
            ) AS e);
    END IF;
    IF NOT is_suspect AND cardinality(head_events) > 0 AND addresses_until >= ANY (created_ats) THEN
        is_suspect := EXISTS (
            SELECT FROM unnest(head_events, head_ds) AS h (n, d) CROSS JOIN LATERAL (
                SELECT t.until FROM relay_address_tombstone AS t
                WHERE t.pubkey = substr(pubkeys, 32 * n - 31, 32) AND t.kind = kinds[n] AND t.d = decode(h.d, 'hex') OFFSET 0
            ) AS t WHERE t.until >= created_ats[n]);
    END IF;
    IF NOT is_suspect AND purged_before > ANY (created_ats) THEN
        is_suspect := EXISTS (
            SELECT FROM unnest(kinds, created_ats) AS e (kind, created_at)
            JOIN relay_retention AS r ON r.before > e.created_at AND r.kinds @> e.kind);
    END IF;
    IF is_suspect THEN
        SELECT r.deleted, r.vanished INTO deleted, vanished
        FROM relay_refused(coalesce(duplicates, '{}'), ids, pubkeys, created_ats, kinds, keys, tag_events, tag_starts, tag_lengths,
                           head_events, head_ds) AS r;
        refused := deleted || vanished;
        IF noted && vanished THEN -- the author's request came in between: its tombstones must not stay
            RAISE EXCEPTION 'the author of a deletion has vanished meanwhile' USING ERRCODE = 'serialization_failure';
        END IF;
        added := ARRAY(SELECT n FROM unnest(added) AS a (n) WHERE n <> ALL (vanished));
        PERFORM relay_remove_events(ARRAY(
            SELECT substr(ids, 32 * n - 31, 32) FROM unnest(refused) AS r (n) WHERE n <> ALL (coalesce(duplicates, '{}'))));
    END IF;
    IF cardinality(duplicates) = total THEN
        RETURN;
    END IF;

    -- 4. The new events against the stored ones. A deleted version takes the place of an older one all the same (09-17).
    IF is_suspect AND cardinality(head_events) = 0 THEN
        added := ARRAY(SELECT n FROM unnest(added) AS a (n) WHERE n <> ALL (deleted));
    ELSIF cardinality(head_events) > 0 THEN
        SELECT d.outdated, d.replaced_by, d.replaced, d.replaced_created_ats
        INTO outdated, removed_by, removed, removed_created_ats
        FROM relay_decide_heads(added, coalesce(deleted, '{}'), ids, pubkeys, created_ats, kinds, head_events, head_ds) AS d;
        IF cardinality(outdated) > 0 OR cardinality(deleted) > 0 THEN
            added := ARRAY(
                SELECT n FROM unnest(added) AS a (n) WHERE n <> ALL (outdated) AND n <> ALL (coalesce(deleted, '{}')));
        END IF;
    END IF;

    -- 5. What the deletions name.
    IF cardinality(noted) > 0 THEN
        SELECT * INTO applied FROM relay_apply_targets(
            noted, pubkeys, created_ats, target_events, target_ids, place_events, place_kinds, place_ds) AS a;
        removed_by := removed_by || applied.removed_by;
        removed := removed || applied.removed;
        removed_created_ats := removed_created_ats || applied.removed_created_ats;
    END IF;

    -- 6. Numbers and log.
    IF cardinality(added) = 0 AND coalesce(cardinality(removed), 0) = 0 THEN
        newest := relay_position();
        RETURN;
    END IF;
    IF is_suspect AND EXISTS (SELECT FROM relay_vanish_pending) THEN
        PERFORM relay_vanish_spare(added, ids, created_ats, kinds, keys, tag_events, tag_starts, tag_lengths);
    END IF;
    IF cardinality(added) = 1 AND coalesce(cardinality(removed), 0) = 0 THEN
        SELECT c.seq + 1 INTO first_seq FROM relay_change AS c ORDER BY c.seq DESC LIMIT 1;
        first_seq := coalesce(first_seq, 1);
        newest := first_seq;
        INSERT INTO relay_change (seq, created_at, origin, op, event_id)
        VALUES (first_seq, created_ats[added[1]], origin, '+', substr(ids, 32 * added[1] - 31, 32));
        IF first_seq % relay_log_partition_size() = 0 THEN -- one partition is always made ahead
            PERFORM relay_log_make_room(first_seq + relay_log_partition_size());
        END IF;
        RETURN;
    ELSIF cardinality(added) = total AND coalesce(cardinality(removed), 0) = 0 THEN -- the order of the columns is that of the log
        first_seq := relay_log_append(array_fill('+'::"char", ARRAY[total]), id_list, created_ats, origin);
        newest := first_seq + total - 1;
        RETURN;
    END IF;
    SELECT relay_log_append(
               array_agg(c.op), array_agg(c.id), array_agg(c.created_at), origin),
           coalesce(array_agg(c.n) FILTER (WHERE c.op = '-'), '{}'),
           coalesce(string_agg(c.id, '') FILTER (WHERE c.op = '-'), ''), count(*)
    INTO first_seq, removed_by, removed_ids, newest
    FROM (SELECT * FROM (
        SELECT n, '+'::"char" AS op, substr(ids, 32 * n - 31, 32) AS id, created_ats[n] AS created_at FROM unnest(added) AS a (n)
        UNION ALL
        SELECT n, '-'::"char", id, created_at FROM unnest(removed_by, removed, removed_created_ats) AS r (n, id, created_at)
    ) AS c ORDER BY n, op DESC, id) AS c;
    newest := first_seq + newest - 1;
END $$;

-- Step 1 for several events: their rows and those of their tags. Returns the numbers of the events that were not known, in
-- order. Waits for other transactions that insert or remove the same ids; whatever has removed one before has committed then,
-- and the tag rows that are left of it are removed.
CREATE FUNCTION relay_insert_batch(
    ids bytea, pubkeys bytea, created_ats bigint[], kinds integer[], expires_ats bigint[],
    jsons bytea, json_ends integer[], keys bytea,
    tag_events integer[], tag_starts integer[], tag_lengths integer[]) RETURNS integer[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    total integer := cardinality(created_ats);
    added integer[] := '{}';
BEGIN
    WITH keyed AS (
        SELECT n, array_agg(substr(keys, start, length)) AS tag_keys
        FROM unnest(tag_events, tag_starts, tag_lengths) AS t (n, start, length)
        GROUP BY n
    ), stored AS (
        INSERT INTO relay_event (id, pubkey, created_at, kind, expires_at, tag_keys, json)
        SELECT substr(ids, 32 * n::integer - 31, 32) AS id, substr(pubkeys, 32 * n::integer - 31, 32), c, k, x,
               coalesce(tag_keys, '{}'), convert_from(substr(jsons, json_from + 1, json_end - json_from), 'UTF8')
        FROM (
            SELECT n, c, k, x, json_end, coalesce(lag(json_end) OVER (ORDER BY n), 0) AS json_from
            FROM unnest(created_ats, kinds, expires_ats, json_ends) WITH ORDINALITY AS u (c, k, x, json_end, n)
        ) AS event LEFT JOIN keyed USING (n)
        ORDER BY 1 -- by id: two batches that share events cannot wait for each other
        ON CONFLICT DO NOTHING
        RETURNING id
    ), fresh AS (
        SELECT n FROM generate_series(1, total) AS g (n) JOIN stored ON stored.id = substr(ids, 32 * n - 31, 32)
    ), tagged AS (
        INSERT INTO relay_tag (key, created_at, event_id, kind)
        SELECT substr(keys, start, length), created_ats[n], substr(ids, 32 * n - 31, 32), kinds[n]
        FROM unnest(tag_events, tag_starts, tag_lengths) AS t (n, start, length)
        WHERE n IN (SELECT fresh.n FROM fresh)
    )
    SELECT coalesce(array_agg(n ORDER BY n), '{}') INTO added FROM fresh;
    IF EXISTS (SELECT FROM relay_tag_garbage) THEN
        PERFORM relay_forget_old_tags(ARRAY(SELECT substr(ids, 32 * n - 31, 32) FROM unnest(added) AS a (n)));
    END IF;
    RETURN added;
END $$;

-- Step 4, under the lock: which of the added versions is the newest of its address. Raises the heads, removes the rows of the
-- versions that lost and of those that were replaced. Versions that are `deleted` have no row any more. A head outlives its event:
-- one that operators removed and let come back meets its own, wins and replaces nothing.
--   outdated   the numbers of those that lost and are not deleted
--   replaced_by, replaced, replaced_created_ats   events that replaced one, in order, with id and time of what they replaced
CREATE FUNCTION relay_decide_heads(
    added integer[], deleted integer[], ids bytea, pubkeys bytea, created_ats bigint[], kinds integer[],
    head_events integer[], head_ds text[],
    OUT outdated integer[], OUT replaced_by integer[], OUT replaced bytea[], OUT replaced_created_ats bigint[])
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    WITH version AS (
        SELECT n, substr(pubkeys, 32 * n - 31, 32) AS pubkey, kinds[n] AS kind, decode(d, 'hex') AS d,
               created_ats[n] AS created_at, substr(ids, 32 * n - 31, 32) AS id
        FROM unnest(head_events, head_ds) AS h (n, d)
        WHERE n = ANY (added)
    ), met AS (
        SELECT version.*, nullif(head.event_id, version.id) AS old_id,
               head.event_id IS NULL OR version.created_at > head.created_at
               OR (version.created_at = head.created_at AND version.id <= head.event_id) AS wins
        FROM version LEFT JOIN LATERAL (
            SELECT h.event_id, h.created_at FROM relay_head AS h
            WHERE h.pubkey = version.pubkey AND h.kind = version.kind AND h.d = version.d
            OFFSET 0 -- looked up one by one, whatever the tables held when this was planned
        ) AS head ON true
    ), crowned AS (
        INSERT INTO relay_head AS head (pubkey, kind, d, created_at, event_id)
        SELECT pubkey, kind, d, created_at, id FROM met WHERE wins
        ON CONFLICT (pubkey, kind, d) DO UPDATE SET created_at = excluded.created_at, event_id = excluded.event_id
    )
    SELECT coalesce(array_agg(n) FILTER (WHERE NOT wins AND n <> ALL (deleted)), '{}'),
           coalesce(array_agg(n ORDER BY n) FILTER (WHERE wins AND old_id IS NOT NULL), '{}'),
           coalesce(array_agg(old_id ORDER BY n) FILTER (WHERE wins AND old_id IS NOT NULL), '{}')
    INTO outdated, replaced_by, replaced FROM met;
    IF cardinality(outdated) > 0 THEN
        PERFORM relay_remove_events(ARRAY(SELECT substr(ids, 32 * n - 31, 32) FROM unnest(outdated) AS l (n)));
    END IF;
    IF cardinality(replaced) > 0 THEN
        -- A head outlives its event; only events that are still stored are logged as removed.
        SELECT coalesce(array_agg(r.n ORDER BY r.n), '{}'), coalesce(array_agg(r.id ORDER BY r.n), '{}'),
               coalesce(array_agg(gone.created_at ORDER BY r.n), '{}')
        INTO replaced_by, replaced, replaced_created_ats
        FROM relay_remove_events(replaced) AS gone JOIN unnest(replaced_by, replaced) AS r (n, id) ON r.id = gone.id;
    END IF;
END $$;
