            -- A CREATE INDEX CONCURRENTLY that was broken off leaves an index that is not valid. That of a partition would become part
            -- of the one that is built, which would not be valid either.
            DECLARE
                broken text;
            BEGIN
                LOOP
                    broken := (
                        SELECT i.indexrelid::regclass::text FROM pg_index AS i
                        WHERE NOT i.indisvalid AND (
                            i.indexrelid = to_regclass('relay_tag_newest_kind')
                            OR (i.indrelid = 'relay_tag'::regclass
                                OR i.indrelid IN (SELECT p.inhrelid FROM pg_inherits AS p WHERE p.inhparent = 'relay_tag'::regclass))
                            AND pg_get_indexdef(i.indexrelid) LIKE '%(key, created_at DESC, event_id) INCLUDE (kind)'
                            AND i.indexrelid IS DISTINCT FROM to_regclass('relay_tag_newest')
                            AND NOT EXISTS (SELECT FROM pg_inherits AS p WHERE p.inhrelid = i.indexrelid)
                        )
                        LIMIT 1
                    );
                    EXIT WHEN broken IS NULL;
                    EXECUTE 'DROP INDEX ' || broken;
                END LOOP;
            END;
