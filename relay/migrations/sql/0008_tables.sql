-- What retention has removed or is removing (relay/storage/sql/retention.sql). Events of `kinds` that were created before `before`
-- are refused; with `others` those of keys that are not on the list of allowed keys alone. While `pending`, some are stored still:
-- without `others` every query leaves them out. The rest is the progress: created_at and id of the last event that was looked at,
-- oldest first, how many were removed, and the newest version of a key that had been taken off the list of allowed keys.
CREATE TABLE relay_retention (
    kinds       int4multirange NOT NULL,
    others      boolean NOT NULL,
    before      bigint  NOT NULL,
    pending     boolean NOT NULL DEFAULT true,
    walked_to   bigint  NOT NULL DEFAULT -1,
    walked_id   bytea   NOT NULL DEFAULT '',
    removed     bigint  NOT NULL DEFAULT 0,
    lists       bigint  NOT NULL,
    PRIMARY KEY (kinds, others)
) WITH (fillfactor = 10);
COMMENT ON INDEX relay_retention_pkey IS 'The job apply-retention: the classes of kinds. Writing an old event, and queries while rows are removed.';

-- What a writer reads together with the lease: the latest time before which retention refuses an event of some kind.
ALTER TABLE relay_lease ADD COLUMN purged_before bigint NOT NULL DEFAULT -1;
