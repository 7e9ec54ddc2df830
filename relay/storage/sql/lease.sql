-- The single-instance lease (relay_lease). Most relays are one instance, whose workers share acknowledged positions in
-- memory; while it holds the lease, they need not ask the primary for the position.
--
-- An instance is one start of `serve`, with a unique name. The protocol:
--   A process of the holder relies on a look for 300 ms from its start. A look is one statement that reads position and lease,
--   so in one snapshot. It finds a lease only 350 ms after the end of the previous one: a holder acknowledges known events
--   from memory, so two instances must never rely on a lease at once.
--   A writing transaction of another instance ends the lease, and its acknowledgement is held until no process relies on an
--   earlier look any more: 350 ms after its commit.
-- Durations are counted on the clock of each process, times by the server's; clocks of two machines are never compared. A
-- server's clock that jumps ahead by more than 50 ms just after a lease was ended shortens the hold of the next writers.

-- To be called by each writing transaction of the instance `me`: under the order lock if it adds anything, otherwise after it
-- has read its position. relay_write skips it in the common case, where the answer is 0. Ends the lease of another instance.
-- Returns for how long (ms) acknowledgements have to be held, from when the caller learns of the commit.
--
-- A lease that was ended becomes visible with a commit, which may take long. So `ended_at` is infinity at first, and the next
-- writing transaction, which sees it ended, replaces that by its own time, when all transactions see it.
CREATE FUNCTION relay_lease_respect(me text) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    lease relay_lease;
    hold  constant interval := '350 milliseconds';
BEGIN
    PERFORM relay_order_lock();
    SELECT * INTO lease FROM relay_lease FOR UPDATE;
    IF lease.instance <> me THEN
        UPDATE relay_lease SET instance = NULL, ended_at = 'infinity';
        RETURN 350;
    ELSIF lease.ended_at > clock_timestamp() THEN -- also if the server's clock was set back
        UPDATE relay_lease SET ended_at = clock_timestamp();
        RETURN 350;
    END IF;
    RETURN greatest(0, ceil(extract(epoch FROM lease.ended_at + hold - clock_timestamp()) * 1000));
END $$;

-- True if an instance other than `me` has registered in the last 30 s. Decides only whether taking the lease is worthwhile.
CREATE FUNCTION relay_others_at_work(me text) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT EXISTS (SELECT FROM relay_instance WHERE name <> me AND seen > clock_timestamp() - interval '30 seconds')
$$;

-- Registers `me` as running, and takes the lease if no other instance has registered in the last 30 s; otherwise ends the
-- lease of another one. Returns whether `me` holds it. To be called every few seconds.
CREATE FUNCTION relay_lease_take(me text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    holder text;
BEGIN
    INSERT INTO relay_instance AS i (name, seen) VALUES (me, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET seen = excluded.seen;
    DELETE FROM relay_instance WHERE seen < clock_timestamp() - interval '1 hour';
    -- An ended lease that is visible here is visible to all from now on: noted before an OK has to wait for it.
    IF EXISTS (SELECT FROM relay_lease WHERE ended_at > clock_timestamp()) THEN -- also if the server's clock was set back
        PERFORM relay_order_lock();
        UPDATE relay_lease SET ended_at = clock_timestamp() WHERE ended_at > clock_timestamp();
    END IF;
    SELECT instance INTO holder FROM relay_lease;
    IF holder = me OR (holder IS NULL AND relay_others_at_work(me)) THEN
        RETURN holder IS NOT NULL;
    END IF;
    -- Under the lock: transactions that did not see this lease are committed before it begins.
    PERFORM relay_order_lock();
    IF relay_others_at_work(me) THEN
        UPDATE relay_lease SET instance = NULL, ended_at = 'infinity' WHERE instance <> me;
        RETURN coalesce((SELECT instance = me FROM relay_lease), false);
    END IF;
    UPDATE relay_lease SET instance = me, ended_at = CASE WHEN instance IS NULL THEN ended_at ELSE 'infinity' END
    WHERE instance IS DISTINCT FROM me;
    RETURN true;
END $$;
