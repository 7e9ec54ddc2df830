-- In a transaction of its own: with the lock of the build still held, it might wait for a writer that waits for that lock.
DO $$
BEGIN
    DROP INDEX relay_tag_newest;
    ALTER INDEX relay_tag_newest_kind RENAME TO relay_tag_newest;
    COMMENT ON INDEX relay_tag_newest IS 'The newest events with a tag (filters with #e, #p, #t, ...), of some kinds; whether an event has a tag.';
END $$;
