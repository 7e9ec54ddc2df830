-- Ends a lease, so that another sender need not wait for its end.
UPDATE replication_peerlane SET lease_until = NULL, holder = '' WHERE id = %(id)s AND holder = %(holder)s
