-- The figures of a run so far.
UPDATE replication_repair SET windows = %(windows)s, compared = %(compared)s, received = %(received)s, sent = %(sent)s
WHERE id = %(repair)s
