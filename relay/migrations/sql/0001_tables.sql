-- Events, their tags, the heads of replaceable addresses, and the one order of changes.
-- Ids and keys are bytes (half the size of hex). `json` is the text that is sent, never written anew.

CREATE TABLE relay_event (
    id          bytea   NOT NULL PRIMARY KEY,
    pubkey      bytea   NOT NULL,
    created_at  bigint  NOT NULL,
    kind        integer NOT NULL,
    expires_at  bigint,
    -- The keys of the event's rows in relay_tag: what a removal takes away.
    tag_keys    bytea[] NOT NULL,
    json        text    NOT NULL
);

-- A vacuum marks pages as visible to all, so that an index alone can answer; by default a table that only grows waits
-- for a fifth of its rows. New rows cost a vacuum no more than the pages that they fill.
ALTER TABLE relay_event SET (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000);

-- Each answers one way that clients ask, newest first, without sorting more than it returns.
CREATE INDEX relay_event_newest        ON relay_event (created_at DESC, id) INCLUDE (pubkey, kind, expires_at);
CREATE INDEX relay_event_kind          ON relay_event (kind, created_at DESC, id);
CREATE INDEX relay_event_author        ON relay_event (pubkey, created_at DESC, id);
CREATE INDEX relay_event_author_kind   ON relay_event (pubkey, kind, created_at DESC, id);
CREATE INDEX relay_event_expiring      ON relay_event (expires_at) WHERE expires_at IS NOT NULL;

-- One row for each single-letter tag. A key is the letter, one byte that says the form, and the value:
-- 0 the value in UTF-8, 1 the 32 bytes of 64 hex digits, 2 the SHA-256 of a value that is too long for an index.
CREATE TABLE relay_tag (
    key         bytea   NOT NULL,
    created_at  bigint  NOT NULL,
    event_id    bytea   NOT NULL,
    kind        integer NOT NULL
);
CREATE INDEX relay_tag_newest ON relay_tag (key, created_at DESC, event_id);

-- The newest version of each replaceable or addressable event. A head outlives an expired event, so that an
-- older version does not come back (40-5). `d` has the form of a tag key without its letter.
CREATE TABLE relay_head (
    pubkey      bytea   NOT NULL,
    kind        integer NOT NULL,
    d           bytea   NOT NULL,
    created_at  bigint  NOT NULL,
    event_id    bytea   NOT NULL,
    PRIMARY KEY (pubkey, kind, d)
);

-- The order of changes. `op`: '+' the event is served from here on, '-' it no longer is. Numbered without
-- gaps under one advisory lock. Partitioned, so that pruning is a DROP and leaves nothing to vacuum.
CREATE TABLE relay_change (
    seq         bigint  NOT NULL,
    op          "char"  NOT NULL,
    event_id    bytea   NOT NULL,
    PRIMARY KEY (seq)
) PARTITION BY RANGE (seq);

-- An epoch ends when the server's timeline changes: a promoted replica may have lost the newest changes and
-- will use their numbers again.
CREATE TABLE relay_epoch (
    one         boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    epoch       bigint  NOT NULL,
    timeline    text    NOT NULL
);

-- Processes that cannot tell the shared cache what they have acknowledged. While one stands here, no process takes the
-- cache's word for the newest number (relay/caching/barrier.py).
CREATE TABLE relay_unannounced (
    process     text        NOT NULL PRIMARY KEY,
    until       timestamptz NOT NULL
);

-- Which instance has the store for itself, if one has. Workers of one instance tell each other through memory what they
-- have acknowledged (relay/caching/sole.py says what that saves and why it is exact).
--
-- An instance is one start of `serve`, under a name that no other start has. `instance` is null while several may be at
-- work. `serial` is raised with each change, under the lock of the order: of a transaction that writes, it is certain
-- which claim it was written under.
CREATE TABLE relay_sole (
    one         boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    serial      bigint  NOT NULL,
    instance    text
);
INSERT INTO relay_sole (serial) VALUES (0);

-- When each instance was last heard of. It only decides whether a claim is worth a try, never whether it is safe.
CREATE TABLE relay_instance (
    name        text        NOT NULL PRIMARY KEY,
    seen        timestamptz NOT NULL
);
