-- The store's identity, epoch and generation, and the server on which they were last checked (relay_store).

CREATE FUNCTION relay_random_name() RETURNS text
LANGUAGE sql VOLATILE AS $$ SELECT substr(replace(gen_random_uuid()::text, '-', ''), 17) $$;

-- The timeline that the server writes, 8 hex digits. Fails on a standby, which has no write position.
CREATE FUNCTION relay_timeline() RETURNS text
LANGUAGE sql VOLATILE AS $$ SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) $$;

CREATE FUNCTION relay_database_oid() RETURNS oid
LANGUAGE sql STABLE AS $$ SELECT oid FROM pg_database WHERE datname = current_database() $$;

-- The cluster's system identifier; null if the role may not read it.
CREATE FUNCTION relay_system_identifier() RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN (SELECT system_identifier FROM pg_control_system());
EXCEPTION WHEN insufficient_privilege THEN
    RETURN NULL;
END $$;

-- The store, after checking whether the server has changed:
--   its timeline differs      epoch + 1 and another generation: a promoted standby may have lost the newest changes, and
--                             will use their numbers again
--   cluster, database or table differ   another identity, generation and epoch 1: this is a copy, restored from a dump, made
--                             from a template or moved by pg_upgrade, and the original may be running elsewhere
--   only its start differs    another generation: the server was restarted, or this is a copy of the data folder
-- Any of these ends the lease: its holder may be connected to the other server.
--
-- One look-up in the common case. Concurrent callers agree, since the row is locked while it changes. Fails on a standby. Not
-- inside a long transaction, which would keep the rows of store and lease locked.
CREATE FUNCTION relay_current_store(OUT identity text, OUT generation text, OUT epoch bigint)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    noted   relay_store;
    cluster bigint;
BEGIN
    SELECT s.identity, s.generation, s.epoch INTO identity, generation, epoch FROM relay_store AS s
    WHERE s.timeline = relay_timeline() AND s.started_at = pg_postmaster_start_time()
      AND s.database_oid = relay_database_oid() AND s.table_oid = s.tableoid;
    IF FOUND THEN
        RETURN;
    END IF;

    SELECT * INTO STRICT noted FROM relay_store FOR UPDATE;
    cluster := relay_system_identifier();
    IF noted.database_oid <> relay_database_oid() OR noted.table_oid <> 'relay_store'::regclass
       OR noted.system_identifier <> cluster THEN
        noted.identity := relay_random_name();
        noted.generation := relay_random_name();
        noted.epoch := 1;
    ELSIF noted.timeline <> relay_timeline() THEN
        noted.generation := relay_random_name();
        noted.epoch := noted.epoch + 1;
    ELSIF noted.started_at <> pg_postmaster_start_time() THEN
        noted.generation := relay_random_name();
    ELSE -- another transaction has noted it meanwhile
        identity := noted.identity;
        generation := noted.generation;
        epoch := noted.epoch;
        RETURN;
    END IF;
    UPDATE relay_lease SET instance = NULL, ended_at = 'infinity';
    UPDATE relay_store AS s
    SET identity = noted.identity, epoch = noted.epoch, generation = noted.generation, timeline = relay_timeline(),
        started_at = pg_postmaster_start_time(), database_oid = relay_database_oid(), table_oid = s.tableoid,
        system_identifier = coalesce(cluster, noted.system_identifier)
    RETURNING s.identity, s.generation, s.epoch INTO identity, generation, epoch;
END $$;
