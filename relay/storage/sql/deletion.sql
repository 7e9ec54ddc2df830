-- Deletions (NIP-09). Columns of a batch, beside those of write.sql:
--   target_events, target_ids    an entry a named id: the number of the kind 5, and the id, 32 bytes each
--   place_events, place_kinds, place_ds   an entry a named address of the author: number, kind, `d` in hex
-- What is done under the lock is bounded by what the batch names.

-- Notes the tombstones of the deletions among `added`, before the lock: another writer that does not see them yet commits
-- before this transaction takes the lock, and what it adds is then found. Returns the numbers of the deletions, without those
-- whose author has vanished or was banned since.
CREATE FUNCTION relay_note_deletions(
    added integer[], pubkeys bytea, created_ats bigint[],
    target_events integer[], target_ids bytea, place_events integer[], place_kinds integer[], place_ds text[])
    RETURNS integer[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    noted integer[] := ARRAY(
        SELECT n FROM unnest(added) AS a (n)
        WHERE (n = ANY (target_events) OR n = ANY (place_events))
          AND NOT relay_is_shut_out(substr(pubkeys, 32 * n - 31, 32), created_ats[n])
        ORDER BY n);
BEGIN
    INSERT INTO relay_tombstone (event_id, deleter)
    SELECT DISTINCT substr(target_ids, 32 * i::integer - 31, 32) AS id, substr(pubkeys, 32 * n - 31, 32) AS deleter
    FROM unnest(target_events) WITH ORDINALITY AS t (n, i) WHERE n = ANY (noted)
    ORDER BY 1, 2 -- two batches that name the same cannot wait for each other
    ON CONFLICT DO NOTHING;
    IF cardinality(place_events) > 0 THEN
        INSERT INTO relay_address_tombstone AS known (pubkey, kind, d, until)
        SELECT substr(pubkeys, 32 * n - 31, 32) AS pubkey, kind, decode(d, 'hex') AS d, max(created_ats[n])
        FROM unnest(place_events, place_kinds, place_ds) AS p (n, kind, d) WHERE n = ANY (noted)
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (pubkey, kind, d) DO UPDATE SET until = excluded.until WHERE known.until < excluded.until;
    END IF;
    RETURN noted;
END $$;

-- Removes what the deletions `noted` take away of the stored events. Returns the number of the deletion, id and time of each.
-- The caller holds the order lock and logs the changes.
CREATE FUNCTION relay_apply_targets(
    noted integer[], pubkeys bytea, created_ats bigint[],
    target_events integer[], target_ids bytea, place_events integer[], place_kinds integer[], place_ds text[],
    OUT removed_by integer[], OUT removed bytea[], OUT removed_created_ats bigint[])
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
BEGIN
    -- For relay_write. With no row to change, this is a look at one row.
    UPDATE relay_lease AS l SET has_tombstones = true, addresses_until = greatest(l.addresses_until, newest.until)
    FROM (
        SELECT max(created_ats[n]) FILTER (WHERE n = ANY (place_events)) AS until FROM unnest(noted) AS a (n)
    ) AS newest
    WHERE cardinality(noted) > 0 AND (NOT l.has_tombstones OR l.addresses_until < newest.until);
    SELECT array_agg(n), array_agg(id) INTO removed_by, removed
    FROM (
        SELECT min(n) AS n, id FROM (
            SELECT t.n, event.id
            FROM unnest(target_events) WITH ORDINALITY AS t (n, i)
            CROSS JOIN LATERAL (
                SELECT e.id, e.pubkey, e.kind, e.tag_keys FROM relay_event AS e
                WHERE e.id = substr(target_ids, 32 * t.i::integer - 31, 32)
                OFFSET 0 -- looked up one by one, whatever the tables held when this was planned
            ) AS event
            CROSS JOIN LATERAL (SELECT substr(pubkeys, 32 * t.n - 31, 32) AS key OFFSET 0) AS deleter
            WHERE t.n = ANY (noted) AND event.kind NOT IN ($INDELIBLE) AND (
                event.pubkey = deleter.key
                OR (event.kind IN ($RECIPIENTS_OWN) AND '\x7001'::bytea || deleter.key = ANY (event.tag_keys)))
            UNION ALL
            SELECT p.n, head.event_id
            FROM unnest(place_events, place_kinds, place_ds) AS p (n, kind, d)
            CROSS JOIN LATERAL (
                SELECT h.event_id FROM relay_head AS h
                WHERE h.pubkey = substr(pubkeys, 32 * p.n - 31, 32) AND h.kind = p.kind AND h.d = decode(p.d, 'hex')
                  AND h.created_at <= created_ats[p.n]
                OFFSET 0
            ) AS head
            WHERE p.n = ANY (noted)
        ) AS named GROUP BY id
    ) AS found;
    IF removed IS NULL THEN
        removed_by := '{}';
        removed := '{}';
        removed_created_ats := '{}';
        RETURN;
    END IF;
    -- A head outlives its event; only events that are still stored are removed.
    SELECT coalesce(array_agg(r.n), '{}'), coalesce(array_agg(r.id), '{}'), coalesce(array_agg(gone.created_at), '{}')
    INTO removed_by, removed, removed_created_ats
    FROM relay_remove_events(removed) AS gone JOIN unnest(removed_by, removed) AS r (n, id) ON r.id = gone.id;
END $$;

-- Carries out deletions that are stored already, those of a store of an earlier version, or a part of what one names that is
-- about to be stored. Returns the number of the first change, 0 if there was none, and the ids of what it removed (32 bytes
-- each), in the order of the log. It acknowledges nothing, so the lease does not matter.
CREATE FUNCTION relay_carry_out_deletions(
    pubkeys bytea, created_ats bigint[],
    target_events integer[], target_ids bytea, place_events integer[], place_kinds integer[], place_ds text[],
    OUT first_seq bigint, OUT removed_ids bytea)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    numbers integer[] := ARRAY(SELECT generate_series(1, cardinality(created_ats)));
    noted   integer[];
    gone    bytea[];
    gone_created_ats bigint[];
BEGIN
    noted := relay_note_deletions(
        numbers, pubkeys, created_ats, target_events, target_ids, place_events, place_kinds, place_ds);
    PERFORM relay_order_lock();
    SELECT a.removed, a.removed_created_ats INTO gone, gone_created_ats
    FROM relay_apply_targets(
        noted, pubkeys, created_ats, target_events, target_ids, place_events, place_kinds, place_ds) AS a;
    first_seq := 0;
    IF cardinality(gone) > 0 THEN
        first_seq := relay_log_append(array_fill('-'::"char", ARRAY[cardinality(gone)]), gone, gone_created_ats, 0);
    END IF;
    removed_ids := (SELECT coalesce(string_agg(id, ''::bytea ORDER BY n), '') FROM unnest(gone) WITH ORDINALITY AS g (id, n));
END $$;

-- Which events of a batch may not be stored: `deleted` by a key that may, by an operator or by retention, or made by a key that has `vanished`
-- or is banned (or gift wraps that went with it and are stored still). Only an operator deletes kinds 5 and 62. The caller holds
-- the order lock, or the batch has only known events. `known`: the numbers of events that are stored already.
CREATE FUNCTION relay_refused(
    known integer[], ids bytea, pubkeys bytea, created_ats bigint[], kinds integer[], keys bytea,
    tag_events integer[], tag_starts integer[], tag_lengths integer[], head_events integer[], head_ds text[],
    OUT deleted integer[], OUT vanished integer[])
LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
BEGIN
    WITH event AS (
        SELECT n, substr(ids, 32 * n - 31, 32) AS id, substr(pubkeys, 32 * n - 31, 32) AS pubkey,
               created_ats[n] AS created_at, kinds[n] AS kind
        FROM generate_series(1, cardinality(created_ats)) AS g (n)
    ), owner AS ( -- who may delete it
        SELECT n, pubkey AS key FROM event
        UNION ALL
        SELECT event.n, substr(keys, start + 2, length - 2)
        FROM event JOIN unnest(tag_events, tag_starts, tag_lengths) AS t (n, start, length) ON t.n = event.n
        WHERE event.kind IN ($RECIPIENTS_OWN) AND length = 34 AND substr(keys, start, 2) = '\x7001'
    ), judged AS (
        SELECT event.n,
               EXISTS (SELECT FROM relay_tombstone AS t WHERE t.event_id = event.id AND t.deleter = 'operator')
               OR relay_is_purged(event.kind, event.created_at, event.pubkey)
               OR event.kind NOT IN ($INDELIBLE) AND (
                   EXISTS (
                       SELECT FROM relay_tombstone AS t JOIN owner ON owner.key = t.deleter AND owner.n = event.n
                       WHERE t.event_id = event.id)
                   OR EXISTS (
                       SELECT FROM unnest(head_events, head_ds) AS h (n, d) JOIN relay_address_tombstone AS t
                           ON t.pubkey = event.pubkey AND t.kind = event.kind AND t.d = decode(h.d, 'hex')
                       WHERE h.n = event.n AND t.until >= event.created_at)
               ) AS is_deleted,
               relay_is_shut_out(event.pubkey, event.created_at)
               OR (event.n = ANY (known) AND event.kind IN ($RECIPIENTS_OWN) AND EXISTS (
                   SELECT FROM owner JOIN relay_vanish_pending AS v ON v.pubkey = owner.key
                   WHERE owner.n = event.n AND v.until >= event.created_at
                     AND NOT EXISTS (SELECT FROM relay_vanish_spared AS s WHERE s.event_id = event.id AND s.seq = v.seq)
               )) AS has_vanished
        FROM event
    )
    SELECT coalesce(array_agg(n) FILTER (WHERE is_deleted AND NOT has_vanished), '{}'),
           coalesce(array_agg(n) FILTER (WHERE has_vanished), '{}')
    INTO deleted, vanished FROM judged;
END $$;
