-- The claim of the store, until relay_lease (lease.sql) takes its place.

-- The claim as it stands once that of another instance than `me` was ended. The caller holds the lock of the order.
CREATE FUNCTION relay_sole_end(me text, OUT sole_serial bigint, OUT is_sole boolean)
LANGUAGE sql VOLATILE AS $$
    UPDATE relay_sole SET serial = serial + 1, instance = NULL WHERE instance <> me;
    SELECT serial, instance IS NOT NULL FROM relay_sole;
$$;

-- Says that `me` is at work, and has it be the only one if nobody else was heard of for 30 s; otherwise ends the claim of
-- another one. Returns the claim as it stands then.
CREATE FUNCTION relay_sole_claim(me text, OUT sole_serial bigint, OUT is_sole boolean)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    owner text;
BEGIN
    INSERT INTO relay_instance AS i (name, seen) VALUES (me, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET seen = excluded.seen;
    DELETE FROM relay_instance WHERE seen < clock_timestamp() - interval '1 hour';
    SELECT serial, instance INTO sole_serial, owner FROM relay_sole;
    is_sole := coalesce(owner = me, false);
    IF is_sole OR (owner IS NULL AND relay_others_at_work(me)) THEN
        RETURN;
    END IF;
    PERFORM relay_order_lock();
    IF relay_others_at_work(me) THEN
        SELECT e.sole_serial, e.is_sole INTO sole_serial, is_sole FROM relay_sole_end(me) AS e;
    ELSE
        UPDATE relay_sole SET serial = serial + 1, instance = me RETURNING serial, true INTO sole_serial, is_sole;
    END IF;
END $$;
