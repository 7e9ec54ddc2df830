-- Renews a lease; no row if it is another's by now.
UPDATE replication_peerlane SET lease_until = clock_timestamp() + %(seconds)s * interval '1 second'
WHERE id = %(id)s AND holder = %(holder)s AND lease_until > clock_timestamp()
RETURNING id
