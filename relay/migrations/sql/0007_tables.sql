-- What each index is for, where an operator sees it (`manage.py indexes`), and how the tables with many writes are vacuumed.
-- An index or a table that a release has taken away is passed over. Partitions have settings of their own.

DO $$
DECLARE
    served record;
BEGIN
    FOR served IN SELECT * FROM (VALUES
        ('relay_event_pkey', 'Events by id (filters with ids), duplicates of a new event, texts of a large answer, rows found along other indexes.'),
        ('relay_event_newest', 'The newest events of all kinds and authors; the newest 5,000 of a home feed, from the index alone.'),
        ('relay_event_kind', 'The newest events of a kind (filters with kinds).'),
        ('relay_event_author', 'The newest events of an author (filters with authors); removal of what a key stored.'),
        ('relay_event_author_kind', 'The newest events of an author and kind: profiles, lists, notes of one author, home feeds.'),
        ('relay_event_expiring', 'The job that removes expired events. Only events with an expiration are in it.'),
        ('relay_tag_newest', 'The newest events with a tag (filters with #e, #p, #t, ...); whether an event has a tag.'),
        ('relay_head_pkey', 'Writing a replaceable or addressable event: the newest version of its address.'),
        ('relay_change_pkey', 'The position, and the log after a position: catching up, analytics, import.'),
        ('relay_store_pkey', 'One row: the name of the store.'),
        ('relay_lease_pkey', 'One row: the single-instance lease.'),
        ('relay_instance_pkey', 'The instances that were seen lately.'),
        ('relay_tag_garbage_pkey', 'The job collect-tags: tag rows of removed events, oldest first.'),
        ('relay_tag_garbage_event', 'Writing an event again whose old tag rows are still to be removed.'),
        ('relay_tombstone_pkey', 'Writing an event: whether its id was deleted, and by whom.'),
        ('relay_address_tombstone_pkey', 'Writing a replaceable or addressable event: whether its address was deleted.'),
        ('relay_vanish_pkey', 'Writing an event: whether its author has asked to vanish.'),
        ('relay_vanish_newest', 'The admin''s list of vanish requests.'),
        ('relay_vanish_pending_pkey', 'Queries while the events of a vanished key are being removed: its events.'),
        ('relay_vanish_pending_tag_key_key', 'The same: gift wraps to a vanished key.'),
        ('relay_vanish_spared_pkey', 'The same: gift wraps that stay.'),
        ('relay_list_entry_pkey', 'Changes of the operators'' lists after a version.'),
        ('relay_list_entry_list_key_key', 'Whether a key, event or network is on a list.'),
        ('relay_list_entry_newest', 'The admin''s pages of the lists, newest first.')
    ) AS named (index, question) LOOP
        IF to_regclass(served.index) IS NOT NULL THEN
            EXECUTE format('COMMENT ON INDEX %I IS %L', served.index, served.question);
        END IF;
    END LOOP;
END $$;

-- By default a table waits for a fifth of its rows to be dead, and a billion rows for 200 million. A fiftieth keeps dead rows
-- below 2 % at every size. As relay_event since its migration, relay_tag is vacuumed while it only grows, so that its index
-- alone can answer. A head is rewritten with each version of its event: free room on its page keeps its index untouched.
DO $$
DECLARE
    chosen record;
    leaf   regclass;
BEGIN
    FOR chosen IN SELECT * FROM (VALUES
        ('relay_event', 'autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, '
                        'autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000, '
                        'autovacuum_analyze_scale_factor = 0.02'),
        ('relay_tag',   'autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, '
                        'autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 20000, '
                        'autovacuum_analyze_scale_factor = 0.02'),
        ('relay_head',  'autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, fillfactor = 80')
    ) AS named (root, options) LOOP
        FOR leaf IN SELECT oid FROM pg_class WHERE oid = to_regclass(chosen.root) AND relkind = 'r'
                    UNION SELECT relid FROM pg_partition_tree(to_regclass(chosen.root)) WHERE isleaf LOOP
            EXECUTE format('ALTER TABLE %s SET (%s)', leaf, chosen.options);
        END LOOP;
    END LOOP;

    -- Texts above 2 KB are compressed. lz4 takes less time than pglz; a server may lack it. Texts
    -- that are stored keep what they have.
    IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        FOR leaf IN SELECT 'relay_event'::regclass UNION SELECT relid FROM pg_partition_tree('relay_event') LOOP
            EXECUTE format('ALTER TABLE %s ALTER COLUMN json SET COMPRESSION lz4', leaf);
        END LOOP;
    END IF;
END $$;
