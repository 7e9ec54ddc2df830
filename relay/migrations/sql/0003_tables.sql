-- What is gone for good: tombstones of deletions (NIP-09) and the times up to which keys have vanished (NIP-62). They are rows
-- of their own, which outlive the events that made them. Functions are dropped before and made anew after (0003_*.py).

-- `deleter` has deleted the event, if it may: its author, or a recipient of a gift wrap. The event need not be known.
CREATE TABLE relay_tombstone (
    event_id    bytea   NOT NULL,
    deleter     bytea   NOT NULL,
    PRIMARY KEY (event_id, deleter)
);

-- The author has deleted the versions of an address up to a time. `d` as in relay_head.
CREATE TABLE relay_address_tombstone (
    pubkey      bytea   NOT NULL,
    kind        integer NOT NULL,
    d           bytea   NOT NULL,
    until       bigint  NOT NULL,
    PRIMARY KEY (pubkey, kind, d)
);

-- The newest request to vanish of each key: nothing that it made up to `until` is accepted again. `json` is the request.
-- `removed` counts the events that were removed for it so far; `finished_at` is null while some are left.
CREATE TABLE relay_vanish (
    pubkey       bytea       NOT NULL PRIMARY KEY,
    until        bigint      NOT NULL,
    event_id     bytea       NOT NULL,
    json         text        NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    removed      bigint      NOT NULL DEFAULT 0,
    finished_at  timestamptz
) WITH (fillfactor = 80);
CREATE INDEX relay_vanish_newest ON relay_vanish (requested_at DESC);

-- Requests whose events are not all removed yet: every query leaves these events out (relay/storage/visibility_sql.py). Empty
-- nearly always. `seq`: the number of the request in the log. The rest is the progress of the removal (sql/vanish.sql).
CREATE TABLE relay_vanish_pending (
    pubkey      bytea   NOT NULL PRIMARY KEY,
    tag_key     bytea   NOT NULL UNIQUE, -- the key of a `p` tag with this public key
    until       bigint  NOT NULL,
    seq         bigint  NOT NULL,
    step        "char"  NOT NULL DEFAULT 'a', -- a: its events, w: gift wraps for it, h: its heads
    walked_to   bigint  NOT NULL,             -- created_at and id of the last event that was looked at
    walked_id   bytea   NOT NULL DEFAULT '',
    removed     bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

-- Gift wraps that came after the request `seq`, though dated before it: they stay.
CREATE TABLE relay_vanish_spared (
    event_id    bytea   NOT NULL,
    seq         bigint  NOT NULL,
    PRIMARY KEY (event_id, seq)
);

-- What a writer reads together with the lease, to see that it has nothing to look up: whether there are tombstones of ids, and
-- the latest time up to which a key has vanished, or an address was deleted. Changed under the order lock, only upwards.
ALTER TABLE relay_lease
    ADD COLUMN has_tombstones  boolean NOT NULL DEFAULT false,
    ADD COLUMN vanished_until  bigint  NOT NULL DEFAULT -1,
    ADD COLUMN addresses_until bigint  NOT NULL DEFAULT -1;
