-- Runs a step that stops readers and writers of relay_tag, for some milliseconds. All others queue behind a lock that is waited for,
-- so it waits no longer than 200 ms, and tries again while an export, a dump or a vacuum goes on; nothing is locked in between.
DO $$
BEGIN
    LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '200ms', true);
-- STEP
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF clock_timestamp() > now() + interval '10 minutes' THEN
                RAISE EXCEPTION 'relay_tag has been in use for 10 minutes: end the export, dump or vacuum that reads it '
                    '(pg_stat_activity), and migrate again';
            END IF;
        END;
        PERFORM pg_sleep(0.5);
    END LOOP;
END $$;
