-- The role that refreshes the views: it may do nothing else, and has a time for a statement of its own, which
-- `ALTER ROLE relay_refresh SET statement_timeout = '5min'` changes (refresh.py reads it). Where the relay's user may not
-- make roles, or before PostgreSQL 17, which first knows MAINTAIN, refreshes run as that user with the registry's time.
DO $$
BEGIN
    IF current_setting('server_version_num')::integer < 170000 THEN
        RETURN;
    END IF;
    IF to_regrole('relay_refresh') IS NULL THEN
        CREATE ROLE relay_refresh NOLOGIN;
        ALTER ROLE relay_refresh SET statement_timeout = '60s';
    END IF;
    IF NOT pg_has_role(current_user, 'relay_refresh', 'SET') THEN
        EXECUTE format('GRANT relay_refresh TO %I WITH INHERIT FALSE, SET TRUE', current_user);
    END IF;
    GRANT SELECT, MAINTAIN ON popular_events, trending_hashtags, active_authors, events_by_kind_and_hour, store_growth,
        reported_targets TO relay_refresh;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
    RAISE NOTICE 'views are refreshed without a role of their own: %', SQLERRM;
END $$;
