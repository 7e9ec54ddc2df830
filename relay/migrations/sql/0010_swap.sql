            -- In a transaction of its own: with the lock of the build still held, it might wait for a writer that waits for that lock.
            IF NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('relay_tag_newest_kind') AND indisvalid) THEN
                RAISE EXCEPTION 'the index relay_tag_newest_kind is not valid: drop it and the invalid indexes of the partitions of '
                    'relay_tag (pg_index), and migrate again';
            END IF;
            DROP INDEX IF EXISTS relay_tag_newest;
            ALTER INDEX relay_tag_newest_kind RENAME TO relay_tag_newest;
            COMMENT ON INDEX relay_tag_newest IS 'The newest events with a tag (filters with #e, #p, #t, ...), of some kinds; whether an event has a tag.';
