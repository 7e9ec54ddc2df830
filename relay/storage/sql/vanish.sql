-- Requests to vanish (NIP-62). One entry of the log hides everything that the key made up to a time, and gift wraps of that
-- time for it, in every process and query at once, however much that is: op 'v', with the key in place of an event's id and
-- the time in created_at. The rows are removed afterwards by small transactions without the order lock, which log nothing: from
-- the entry on they were not served, and a query whose snapshot lacks some of them is at a position after it.

-- Carries out a request, in a transaction of its own. Returns the row of relay_write for one event. A key with few rows is done
-- with at once; the others go on in relay_vanish_step.
CREATE FUNCTION relay_vanish_request(
    request_id bytea, key bytea, upto bigint, request_json bytea, me text, origin integer,
    OUT first_seq bigint, OUT duplicates integer[], OUT outdated integer[], OUT refused integer[],
    OUT removed_by integer[], OUT removed_ids bytea, OUT newest bigint, OUT hold_ms integer)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
DECLARE
    known relay_vanish;
    few   constant integer := 100;
    p_key bytea := '\x7001'::bytea || key;
BEGIN
    duplicates := '{}';
    outdated := '{}';
    refused := '{}';
    removed_by := '{}';
    removed_ids := '';
    first_seq := 0;
    PERFORM relay_order_lock();
    hold_ms := relay_lease_respect(me);
    newest := relay_position();
    SELECT * INTO known FROM relay_vanish AS v WHERE v.pubkey = key;
    IF known.event_id = request_id THEN
        duplicates := '{1}';
        RETURN;
    ELSIF known.until >= upto THEN -- an older request: it asks for nothing more
        RETURN;
    END IF;
    INSERT INTO relay_vanish AS v (pubkey, until, event_id, json)
    VALUES (key, upto, request_id, convert_from(request_json, 'UTF8'))
    ON CONFLICT (pubkey) DO UPDATE SET until = excluded.until, event_id = excluded.event_id, json = excluded.json,
        requested_at = excluded.requested_at, finished_at = NULL;
    UPDATE relay_lease SET has_tombstones = true, vanished_until = greatest(vanished_until, upto); -- relay_write reads it
    first_seq := relay_log_append('{v}', ARRAY[key], ARRAY[upto], origin);
    newest := first_seq;
    INSERT INTO relay_vanish_pending AS p (pubkey, tag_key, until, seq, walked_to)
    VALUES (key, p_key, upto, first_seq, upto)
    -- A ban may be removing what was made later than `upto`: that must not be served again.
    ON CONFLICT (pubkey) DO UPDATE SET until = greatest(p.until, excluded.until), seq = excluded.seq, step = 'a',
        walked_to = greatest(p.until, excluded.until), walked_id = '';
    IF (SELECT count(*) FROM (SELECT FROM relay_event AS e WHERE e.pubkey = key LIMIT few) AS c) < few
       AND (SELECT count(*) FROM (SELECT FROM relay_tag AS t WHERE t.key = p_key LIMIT few) AS c) < few
       AND (SELECT count(*) FROM (SELECT FROM relay_head AS h WHERE h.pubkey = key LIMIT few) AS c) < few THEN
        WHILE relay_vanish_step(key, few) LOOP END LOOP;
    END IF;
END $$;

-- One small transaction of the removal for `key`, or for the request of which least was done: looks at up to `most` events,
-- or heads. Returns false if there was nothing to do; another transaction may be at it.
CREATE FUNCTION relay_vanish_step(key bytea, most integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
DECLARE
    request relay_vanish_pending;
    gone_ids bytea[];
    last_created_at bigint;
    last_id bytea;
    looked_at integer;
    gone    integer := 0;
BEGIN
    SELECT * INTO request FROM relay_vanish_pending AS p WHERE key IS NULL OR p.pubkey = key
    ORDER BY p.removed, p.seq LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF request.step = 'h' THEN -- a head only keeps out versions of its time, and those are refused
        DELETE FROM relay_head AS h USING (
            SELECT old.pubkey, old.kind, old.d FROM relay_head AS old
            WHERE old.pubkey = request.pubkey AND old.created_at <= request.until LIMIT most
        ) AS old
        WHERE h.pubkey = old.pubkey AND h.kind = old.kind AND h.d = old.d AND h.created_at <= request.until;
        GET DIAGNOSTICS looked_at = ROW_COUNT;
        UPDATE relay_vanish_pending AS p SET removed = p.removed + looked_at WHERE p.pubkey = request.pubkey;
        IF looked_at = 0 THEN
            DELETE FROM relay_vanish_spared AS s WHERE s.seq <= request.seq AND NOT EXISTS (
                SELECT FROM relay_vanish_pending AS p WHERE p.seq = s.seq AND p.pubkey <> request.pubkey);
            DELETE FROM relay_vanish_pending AS p WHERE p.pubkey = request.pubkey;
            UPDATE relay_vanish AS v SET finished_at = clock_timestamp() WHERE v.pubkey = request.pubkey;
        END IF;
        RETURN true;
    ELSIF request.step = 'a' THEN
        SELECT array_agg(e.id), (array_agg(e.created_at))[count(*)::integer], (array_agg(e.id))[count(*)::integer], count(*)
        INTO gone_ids, last_created_at, last_id, looked_at
        FROM (
            SELECT e.id, e.created_at FROM relay_event AS e
            WHERE e.pubkey = request.pubkey AND e.created_at <= request.walked_to
              AND (e.created_at < request.walked_to OR e.id > request.walked_id)
            ORDER BY e.created_at DESC, e.id LIMIT most
        ) AS e;
    ELSE
        SELECT array_agg(t.event_id) FILTER (WHERE t.kind IN ($RECIPIENTS_OWN)),
               (array_agg(t.created_at))[count(*)::integer], (array_agg(t.event_id))[count(*)::integer], count(*)
        INTO gone_ids, last_created_at, last_id, looked_at
        FROM (
            SELECT t.event_id, t.created_at, t.kind FROM relay_tag AS t
            WHERE t.key = request.tag_key AND t.created_at <= request.walked_to
              AND (t.created_at < request.walked_to OR t.event_id > request.walked_id)
            ORDER BY t.created_at DESC, t.event_id LIMIT most
        ) AS t;
        IF gone_ids IS NOT NULL THEN
            gone_ids := ARRAY(
                SELECT f.id FROM unnest(gone_ids) AS f (id)
                WHERE EXISTS (SELECT FROM relay_event AS e WHERE e.id = f.id)
                  AND NOT EXISTS (SELECT FROM relay_vanish_spared AS s WHERE s.event_id = f.id AND s.seq = request.seq));
            -- Refused by id from now on: a time would refuse wraps that come later and are dated back.
            INSERT INTO relay_tombstone (event_id, deleter) SELECT f.id, request.pubkey FROM unnest(gone_ids) AS f (id)
            ORDER BY 1 ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    IF gone_ids IS NOT NULL THEN
        SELECT count(*) INTO gone FROM relay_remove_events(gone_ids);
        PERFORM relay_note_unlogged(gone);
    END IF;
    IF looked_at < most THEN
        UPDATE relay_vanish_pending AS p SET step = CASE WHEN request.step = 'a' THEN 'w' ELSE 'h' END::"char",
            walked_to = request.until, walked_id = '', removed = p.removed + gone
        WHERE p.pubkey = request.pubkey;
    ELSE
        UPDATE relay_vanish_pending AS p SET walked_to = last_created_at, walked_id = last_id, removed = p.removed + gone
        WHERE p.pubkey = request.pubkey;
    END IF;
    UPDATE relay_vanish AS v SET removed = v.removed + gone WHERE v.pubkey = request.pubkey AND gone > 0;
    RETURN true;
END $$;

-- Notes those gift wraps among `added` that a request under way would take for older ones, so that they stay. The caller holds
-- the order lock.
CREATE FUNCTION relay_vanish_spare(
    added integer[], ids bytea, created_ats bigint[], kinds integer[], keys bytea,
    tag_events integer[], tag_starts integer[], tag_lengths integer[]) RETURNS void
LANGUAGE sql VOLATILE SET enable_seqscan = off AS $$
    INSERT INTO relay_vanish_spared (event_id, seq)
    SELECT DISTINCT substr(ids, 32 * n - 31, 32), v.seq
    FROM unnest(tag_events, tag_starts, tag_lengths) AS t (n, start, length)
    JOIN relay_vanish_pending AS v ON v.tag_key = substr(keys, start, length)
    WHERE n = ANY (added) AND kinds[n] IN ($RECIPIENTS_OWN) AND v.until >= created_ats[n]
    ON CONFLICT DO NOTHING
$$;
