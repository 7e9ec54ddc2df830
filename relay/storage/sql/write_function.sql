-- The one writing transaction: a batch of events, stored, ordered and numbered in one statement.
--
-- A batch comes in columns, because that is the cheapest way to hand it over (ARCHITECTURE.md has the figures):
--   ids, pubkeys      32 bytes an event, one after the other
--   created_ats, kinds, expires_ats   an entry an event
--   jsons, json_ends  the texts in UTF-8 one after the other, and where each ends (bytes)
--   keys              the tag keys, one after the other
--   tag_events, tag_starts, tag_lengths   an entry a tag key: the event's number, where the key starts in `keys`, its length
--   head_events, head_ds   an entry a replaceable event: its number, and its `d` in hex. No address twice in a batch.
--   me   the name of the instance that writes
-- Events come in the order in which they arrived, which becomes their order in the log.
--
-- Returns one row. Numbers of events count from 1.
--   first_seq   the number of the first change, 0 if there was none
--   duplicates  events that were known already
--   outdated    versions that lost against the head they met (01-K06, 01-K07)
--   replaced_by, replaced_ids   events that replaced one, and the ids (32 bytes each) of what they replaced
--   newest      a number up to which the order holds whatever was found or written here, duplicates included
--   sole_serial, is_sole   under which claim of the store that was (sole.sql), and whether it was that of `me`
-- The changes are numbered in the order of the events; a replacement's '-' comes before its '+'.
CREATE OR REPLACE FUNCTION relay_write(
    ids bytea, pubkeys bytea, created_ats bigint[], kinds integer[], expires_ats bigint[],
    jsons bytea, json_ends integer[], keys bytea,
    tag_events integer[], tag_starts integer[], tag_lengths integer[],
    head_events integer[], head_ds text[], me text,
    OUT first_seq bigint, OUT duplicates integer[], OUT outdated integer[],
    OUT replaced_by integer[], OUT replaced_ids bytea, OUT newest bigint,
    OUT sole_serial bigint, OUT is_sole boolean)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    total   integer := cardinality(created_ats);
    added   integer[];
    lost    integer[];
    gone    bytea[] := '{}';
    last    bigint;
    owner   text;
BEGIN
    -- 1. What only costs: the rows, before the lock.
    IF total = 1 THEN
        -- Plain inserts: the statement for a batch costs 0.2 ms to begin with, whatever is in it.
        INSERT INTO relay_event (id, pubkey, created_at, kind, expires_at, tag_keys, json)
        VALUES (ids, pubkeys, created_ats[1], kinds[1], expires_ats[1],
                ARRAY(SELECT substr(keys, start, length) FROM unnest(tag_starts, tag_lengths) AS t (start, length)),
                convert_from(jsons, 'UTF8'))
        ON CONFLICT (id) DO NOTHING;
        IF FOUND THEN
            added := '{1}';
            IF cardinality(tag_starts) > 0 THEN
                INSERT INTO relay_tag (key, created_at, event_id, kind)
                SELECT substr(keys, start, length), created_ats[1], ids, kinds[1]
                FROM unnest(tag_starts, tag_lengths) AS t (start, length);
            END IF;
        ELSE
            added := '{}';
        END IF;
    ELSE
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
            ON CONFLICT (id) DO NOTHING
            RETURNING id
        ), fresh AS (
            SELECT n FROM generate_series(1, total) AS g (n) JOIN stored ON stored.id = substr(ids, 32 * n - 31, 32)
        ), tagged AS (
            INSERT INTO relay_tag (key, created_at, event_id, kind)
            SELECT substr(keys, start, length), created_ats[n], substr(ids, 32 * n - 31, 32), kinds[n]
            FROM unnest(tag_events, tag_starts, tag_lengths) AS t (n, start, length)
            WHERE n IN (SELECT fresh.n FROM fresh)
        )
        SELECT array_agg(n ORDER BY n) INTO added FROM fresh;
        added := coalesce(added, '{}');
    END IF;

    IF cardinality(added) = total THEN
        duplicates := '{}';
    ELSE
        duplicates := ARRAY(SELECT n FROM generate_series(1, total) AS g (n) WHERE n <> ALL (added));
    END IF;
    outdated := '{}';
    replaced_by := '{}';
    replaced_ids := '';
    first_seq := 0;

    -- 2. What decides: under the lock of the order, which duplicates alone need not take.
    IF cardinality(added) > 0 THEN
        PERFORM relay_order_lock();
    END IF;
    SELECT serial, instance INTO sole_serial, owner FROM relay_sole;
    is_sole := coalesce(owner = me, false);
    IF owner <> me THEN
        PERFORM relay_order_lock();
        SELECT e.sole_serial, e.is_sole INTO sole_serial, is_sole FROM relay_sole_end(me) AS e;
    END IF;
    IF cardinality(added) = 0 THEN
        newest := relay_position();
        RETURN;
    END IF;
    IF cardinality(head_events) > 0 THEN
        WITH version AS (
            SELECT n, substr(pubkeys, 32 * n - 31, 32) AS pubkey, kinds[n] AS kind, decode(d, 'hex') AS d,
                   created_ats[n] AS created_at, substr(ids, 32 * n - 31, 32) AS id
            FROM unnest(head_events, head_ds) AS h (n, d)
            WHERE n = ANY (added)
        ), met AS (
            SELECT version.*, head.event_id AS old_id,
                   head.event_id IS NULL OR version.created_at > head.created_at
                   OR (version.created_at = head.created_at AND version.id < head.event_id) AS wins
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
        SELECT coalesce(array_agg(n) FILTER (WHERE NOT wins), '{}'),
               coalesce(array_agg(n ORDER BY n) FILTER (WHERE wins AND old_id IS NOT NULL), '{}'),
               coalesce(array_agg(old_id ORDER BY n) FILTER (WHERE wins AND old_id IS NOT NULL), '{}')
        INTO lost, replaced_by, gone FROM met;
        outdated := lost;
        IF cardinality(lost) > 0 THEN
            PERFORM relay_forget(ARRAY(SELECT substr(ids, 32 * n - 31, 32) FROM unnest(lost) AS l (n)));
            added := ARRAY(SELECT n FROM unnest(added) AS a (n) WHERE n <> ALL (lost));
        END IF;
        IF cardinality(gone) > 0 THEN
            -- A head outlives its event; only what is still there has an end to tell of.
            SELECT coalesce(array_agg(r.n ORDER BY r.n), '{}'), coalesce(array_agg(r.id ORDER BY r.n), '{}'),
                   coalesce(string_agg(r.id, '' ORDER BY r.n), '')
            INTO replaced_by, gone, replaced_ids
            FROM unnest(replaced_by, gone) AS r (n, id)
            WHERE EXISTS (SELECT FROM relay_event AS e WHERE e.id = r.id OFFSET 0);
            PERFORM relay_forget(gone);
        END IF;
        IF cardinality(added) = 0 THEN
            newest := relay_position();
            RETURN;
        END IF;
    END IF;

    first_seq := relay_position() + 1;
    last := first_seq + cardinality(added) + cardinality(replaced_by) - 1;
    newest := last;
    IF last / relay_log_partition_size() > (first_seq - 1) / relay_log_partition_size() THEN
        PERFORM relay_log_make_room(last);
        PERFORM relay_log_make_room(last + relay_log_partition_size());
    END IF;
    IF last = first_seq THEN
        INSERT INTO relay_change (seq, op, event_id) VALUES (last, '+', substr(ids, 32 * added[1] - 31, 32));
        RETURN;
    END IF;
    INSERT INTO relay_change (seq, op, event_id)
    SELECT first_seq - 1 + row_number() OVER (ORDER BY n, op DESC), op, id
    FROM (
        SELECT n, '+'::"char" AS op, substr(ids, 32 * n - 31, 32) AS id FROM unnest(added) AS a (n)
        UNION ALL
        SELECT n, '-'::"char", id FROM unnest(replaced_by, gone) AS r (n, id)
    ) AS change;
END $$;

-- Takes events and their tags away. The caller holds the lock of the order and writes the changes.
--
-- Each tag row is found by its index, whatever the tables held when this was planned: a plan made on empty tables
-- compared every tag with every other: replacing a list of 5,000 tags took over 10 s under the lock, and takes 0.05 s.
-- OFFSET 0 keeps the planner from making a join of the look-ups.
CREATE OR REPLACE FUNCTION relay_forget(gone bytea[]) RETURNS void
LANGUAGE sql VOLATILE SET enable_seqscan = off AS $$
    WITH event AS (
        DELETE FROM relay_event WHERE id = ANY (gone) RETURNING id, created_at, tag_keys
    )
    DELETE FROM relay_tag WHERE ctid = ANY (ARRAY(
        SELECT tag.place
        FROM event CROSS JOIN unnest(event.tag_keys) AS k (key) CROSS JOIN LATERAL (
            SELECT t.ctid AS place FROM relay_tag AS t
            WHERE t.key = k.key AND t.created_at = event.created_at AND t.event_id = event.id
            OFFSET 0
        ) AS tag
    ))
$$;

-- Takes away up to `most` events that expired before `now` (Unix seconds); returns how many.
-- Heads stay (40-5). Expired events are served to nobody, so the order of removals among them is free.
CREATE OR REPLACE FUNCTION relay_sweep_expired(now bigint, most integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    gone  bytea[];
    first bigint;
BEGIN
    PERFORM relay_order_lock();
    gone := ARRAY(SELECT id FROM relay_event WHERE expires_at <= now ORDER BY expires_at LIMIT most);
    IF cardinality(gone) = 0 THEN
        RETURN 0;
    END IF;
    PERFORM relay_forget(gone);
    first := relay_position() + 1;
    PERFORM relay_log_make_room(first + cardinality(gone) + relay_log_partition_size());
    PERFORM relay_log_make_room(first + cardinality(gone));
    INSERT INTO relay_change (seq, op, event_id)
    SELECT first - 1 + n, '-', id FROM unnest(gone) WITH ORDINALITY AS g (id, n);
    RETURN cardinality(gone);
END $$;
