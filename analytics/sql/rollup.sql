-- The roll-up: what the materialized views stand on, kept up from the change log (rollup.py).

-- The time that views take as now, in Unix seconds. Tests set `analytics.now`.
CREATE FUNCTION analytics_now() RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('analytics.now', true), '')::bigint, extract(epoch FROM now())::bigint)
$$;

-- The mean of `n` samples and one more; what is not known counts nothing.
CREATE FUNCTION analytics_mean(n integer, mean float, sample float) RETURNS float
LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce((mean * n + sample) / (n + 1), sample, mean) $$;

-- How far the roll-up has come. `position`: the last change of the log that is in it; it moves in the transaction that
-- writes the rows. `scan_*`: set while the roll-up is made anew from the tables: the row of relay_event_newest that was
-- read last. Epoch 0 is no epoch, so that the first run begins with a scan.
CREATE TABLE analytics_cursor (
    one             boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    epoch           bigint  NOT NULL,
    position        bigint  NOT NULL,
    events          bigint  NOT NULL,
    scan_created_at bigint,
    scan_id         bytea
);
INSERT INTO analytics_cursor (epoch, position, events) VALUES (0, 0, 0);

-- One narrow row for each stored event of the window (popularity.py). What a removal has to take out of the
-- counts stands here, because the removed event's own row is gone by then.
--   deed      what the event does to another: '+' reaction, 'r' repost, 'a' answer, 'z' zap; NULL for none
--   target    the event it does it to; actor: the person who does it (for a zap not the author)
CREATE TABLE analytics_recent (
    event_id    bytea   NOT NULL PRIMARY KEY,
    pubkey      bytea   NOT NULL,
    created_at  bigint  NOT NULL,
    expires_at  bigint,
    kind        integer NOT NULL,
    deed        "char",
    target      bytea,
    actor       bytea,
    hashtags    text[]
);
CREATE INDEX analytics_recent_oldest ON analytics_recent (created_at);
ALTER TABLE analytics_recent SET (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

CREATE TABLE analytics_kind_hour (
    hour    bigint  NOT NULL, -- Unix seconds of its begin
    kind    integer NOT NULL,
    events  bigint  NOT NULL,
    PRIMARY KEY (hour, kind)
) WITH (fillfactor = 70);

CREATE TABLE analytics_author_day (
    day     bigint  NOT NULL, -- Unix seconds of its begin
    pubkey  bytea   NOT NULL,
    events  integer NOT NULL,
    PRIMARY KEY (day, pubkey)
) WITH (fillfactor = 70);

-- By the clock of the roll-up, not by created_at, which is whatever an author says.
CREATE TABLE analytics_growth (
    hour        bigint  NOT NULL PRIMARY KEY,
    added       bigint  NOT NULL DEFAULT 0,
    removed     bigint  NOT NULL DEFAULT 0,
    bytes_added bigint  NOT NULL DEFAULT 0,
    events      bigint  NOT NULL,
    store_bytes bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

-- A row for each target of a report (kind 1984).
CREATE TABLE analytics_report (
    event_id    bytea   NOT NULL,
    target_type text    NOT NULL, -- pubkey, event, blob
    target      bytea   NOT NULL,
    reporter    bytea   NOT NULL,
    reason      text    NOT NULL,
    created_at  bigint  NOT NULL,
    expires_at  bigint,
    PRIMARY KEY (event_id, target_type, target)
);
