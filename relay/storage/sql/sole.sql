-- Which instance has the store for itself, if one has. Workers of one instance tell each other through memory what they
-- have acknowledged (relay/caching/sole.py says what that saves and why it is exact).
--
-- An instance is one start of `serve`, under a name that no other start has. `instance` is null while several may be at
-- work. `serial` is raised with each change, under the lock of the order: of a transaction that writes, it is certain
-- which claim it was written under.
CREATE TABLE relay_sole (
    one         boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    serial      bigint  NOT NULL,
    instance    text
);
INSERT INTO relay_sole (serial) VALUES (0);

-- When each instance was last heard of. It only decides whether a claim is worth a try, never whether it is safe.
CREATE TABLE relay_instance (
    name        text        NOT NULL PRIMARY KEY,
    seen        timestamptz NOT NULL
);

-- The claim as it stands once that of another instance than `me` was ended. The caller holds the lock of the order.
CREATE OR REPLACE FUNCTION relay_sole_end(me text, OUT sole_serial bigint, OUT is_sole boolean)
LANGUAGE sql VOLATILE AS $$
    UPDATE relay_sole SET serial = serial + 1, instance = NULL WHERE instance <> me;
    SELECT serial, instance IS NOT NULL FROM relay_sole;
$$;

-- Says that `me` is at work, and has it be the only one if nobody else was heard of for 30 s; otherwise ends the claim of
-- another one. Returns the claim as it stands then.
CREATE OR REPLACE FUNCTION relay_sole_claim(me text, OUT sole_serial bigint, OUT is_sole boolean)
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

-- True if another instance than `me` was heard of lately.
CREATE OR REPLACE FUNCTION relay_others_at_work(me text) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT EXISTS (SELECT FROM relay_instance WHERE name <> me AND seen > clock_timestamp() - interval '30 seconds')
$$;
