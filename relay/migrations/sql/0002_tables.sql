-- A store with an identity, a lease for a single instance, a log that knows the time and origin of each change, and
-- removal of tag rows outside the lock of the order. Functions are dropped before and made anew after (0002_*.py).

-- Which store this is: one row. The name of the store is identity.epoch.generation; it stands in every bus message, cache
-- key, queue name and cursor. relay_current_store() keeps it true (relay/storage/sql/store.sql).
--   identity     16 hex digits, made once; a copy of the store gets another one
--   epoch        raised when the newest changes may be lost and their numbers used again
--   generation   16 hex digits, anew with each start of the server: two servers that run at once never share one
-- The other columns note the server that the row was last true for.
CREATE TABLE relay_store (
    one                boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    identity           text        NOT NULL,
    epoch              bigint      NOT NULL,
    generation         text        NOT NULL,
    timeline           text        NOT NULL,
    started_at         timestamptz NOT NULL,
    database_oid       oid         NOT NULL,
    table_oid          oid         NOT NULL, -- of relay_store itself: a dump that was restored has another one
    system_identifier  bigint                -- null: the role may not call pg_control_system()
);

-- Which instance is known to be the only one at work, if one is (relay/storage/sql/lease.sql). `ended_at`: since when it has
-- been certain that every process sees the last lease ended; infinity until the next writing transaction notes it.
CREATE TABLE relay_lease (
    one         boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    instance    text,
    ended_at    timestamptz NOT NULL
) WITH (fillfactor = 10);
INSERT INTO relay_lease (ended_at) VALUES ('infinity');
DROP TABLE relay_sole, relay_unannounced;

-- Events that are gone and whose rows in relay_tag are still to be removed (relay/storage/sql/removal.sql). The first
-- `removed` of the keys are done.
CREATE TABLE relay_tag_garbage (
    number      bigint  NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    event_id    bytea   NOT NULL,
    created_at  bigint  NOT NULL,
    tag_keys    bytea[] NOT NULL,
    removed     integer NOT NULL DEFAULT 0
);
CREATE INDEX relay_tag_garbage_event ON relay_tag_garbage (event_id);
ALTER TABLE relay_tag_garbage SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The log, made anew with two more columns.
--   created_at   of the event, so that a look-up by id can be told where to look; 0 if it was not known at the migration
--   origin       0: this region; otherwise the peer region that the event came from
CREATE TABLE relay_change_before AS
SELECT c.seq, coalesce(e.created_at, 0) AS created_at, 0 AS origin, c.op, c.event_id
FROM relay_change AS c LEFT JOIN relay_event AS e ON e.id = c.event_id;
DROP TABLE relay_change;
CREATE TABLE relay_change (
    seq         bigint  NOT NULL,
    created_at  bigint  NOT NULL,
    origin      integer NOT NULL DEFAULT 0,
    op          "char"  NOT NULL,
    event_id    bytea   NOT NULL,
    PRIMARY KEY (seq)
) PARTITION BY RANGE (seq);
