-- The number of stored events, exactly, in the snapshot of the caller: that of the roll-up's cursor, with the changes of the
-- log after it (15 s of them, and at most a million, which take 0.1 s), without those that were removed since and have no entry. Before the roll-up's first run a store of at most
-- 100,000 changes is counted. NULL: not known, because the roll-up is far behind, or the log no longer reaches back to it.
CREATE OR REPLACE FUNCTION analytics_event_count() RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    newest bigint := relay_position();
    known  bigint;
    rolled bigint;
BEGIN
    SELECT c.events - (u.removed - c.unlogged), c.position INTO known, rolled
    FROM analytics_cursor AS c JOIN relay_store AS s ON s.identity = c.identity AND s.epoch = c.epoch, relay_unlogged_removals AS u;
    IF newest = rolled THEN
        RETURN known;
    ELSIF newest BETWEEN rolled AND rolled + 1000000
        AND EXISTS (SELECT FROM relay_change AS c WHERE c.seq = rolled + 1)
    THEN
        RETURN known + (
            SELECT count(*) FILTER (WHERE c.op = '+') - count(*) FILTER (WHERE c.op = '-')
            FROM relay_change AS c WHERE c.seq > rolled
        );
    ELSIF newest <= 100000 THEN
        RETURN (SELECT count(*) FROM relay_event);
    END IF;
    RETURN NULL;
END $$;
