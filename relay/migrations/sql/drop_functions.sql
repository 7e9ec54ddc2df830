-- Drops the functions of every earlier version: those of this one are made anew from relay/storage/sql.
DO $$
DECLARE
    old regprocedure;
BEGIN
    FOR old IN
        SELECT p.oid FROM pg_proc AS p JOIN pg_class AS t ON t.relnamespace = p.pronamespace
        WHERE t.oid = 'relay_event'::regclass AND p.proname LIKE 'relay\_%'
    LOOP
        EXECUTE format('DROP FUNCTION %s', old);
    END LOOP;
END $$;
