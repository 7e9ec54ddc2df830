-- Events number %(first)s to %(last)s of a store that has been at work for a week, straight into the tables: notes (half of
-- them answers), reactions, reposts; authors and targets by a power law, so that some notes are popular.
WITH made AS (
    SELECT g, sha256(('event ' || g)::bytea) AS id,
           sha256(('author ' || floor(%(authors)s * random() ^ 3))::bytea) AS pubkey,
           extract(epoch FROM now())::bigint - floor(random() * 604800)::bigint AS created_at,
           CASE WHEN random() < 0.5 THEN 1 WHEN random() < 0.8 THEN 7 ELSE 6 END AS kind,
           random() < 0.5 AS is_answer, random() < 0.2 AS is_tagged,
           sha256(('event ' || floor(g * random() ^ 4)::bigint)::bytea) AS target
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS g
), described AS (
    SELECT made.*, kind <> 1 OR is_answer AS is_deed,
           CASE WHEN kind <> 1 OR is_answer THEN jsonb_build_array(jsonb_build_array('e', encode(target, 'hex'), '', 'reply'))
                ELSE '[]' END
           || CASE WHEN is_tagged THEN jsonb_build_array(jsonb_build_array('t', 'tag' || floor(300 * random() ^ 2)))
                ELSE '[]' END AS tags
    FROM made
), event AS (
    INSERT INTO relay_event (id, pubkey, created_at, kind, tag_keys, json)
    SELECT id, pubkey, created_at, kind,
           CASE WHEN is_deed THEN ARRAY['\x6501'::bytea || target] ELSE '{}' END,
           jsonb_build_object(
               'id', encode(id, 'hex'), 'pubkey', encode(pubkey, 'hex'), 'created_at', created_at, 'kind', kind,
               'tags', tags, 'content', CASE kind WHEN 1 THEN repeat('words of a note ', 12) ELSE '+' END,
               'sig', repeat('0', 128))::text
    FROM described
), tag AS (
    INSERT INTO relay_tag (key, created_at, event_id, kind)
    SELECT '\x6501'::bytea || target, created_at, id, kind FROM described WHERE is_deed
)
INSERT INTO relay_change (seq, created_at, op, event_id)
SELECT %(position)s + g - %(first)s + 1, created_at, '+', id FROM described
