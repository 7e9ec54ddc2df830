-- The operators' lists (relay/policies/lists.py): what rules admission and is no event. An entry that is lifted stays, marked as
-- removed, so that every process reads the changes after the version that it has, and only those. Rows are written by
-- relay_list_put alone, one version each, in the order of commits.
CREATE TABLE relay_list_entry (
    version     bigint      NOT NULL PRIMARY KEY,
    list        text        NOT NULL,
    key         text        NOT NULL,
    reason      text        NOT NULL,
    until       bigint      NOT NULL, -- Unix seconds; 0: for ever
    changed_by  text        NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    removed     boolean     NOT NULL,
    UNIQUE (list, key)
);
CREATE INDEX relay_list_entry_newest ON relay_list_entry (list, version DESC) WHERE NOT removed;

-- The newest version of all lists: one row.
CREATE TABLE relay_list_version (version bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO relay_list_version VALUES (0);

-- What a writer reads together with the lease: whether a key was ever banned, so that its authors have to be looked up.
ALTER TABLE relay_lease ADD COLUMN has_bans boolean NOT NULL DEFAULT false;
