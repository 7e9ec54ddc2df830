-- The index of tags has the kind too, so that a walk for some kinds need not visit relay_tag: one of three random reads for each
-- event. An entry takes no more room: the kind fills what alignment left.
--
-- Building it stops writers, for two seconds per million events. Where that is too long, it is made before, under this name, with
-- CREATE INDEX CONCURRENTLY (docs/operations/production.md). One that was broken off is gone by now, and is made anew.
CREATE INDEX IF NOT EXISTS relay_tag_newest_kind ON relay_tag (key, created_at DESC, event_id) INCLUDE (kind);
