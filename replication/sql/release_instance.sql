-- Ends the leases of an instance whose sending process has died: its successor need not wait for their end.
UPDATE replication_peerlane SET lease_until = NULL, holder = '' WHERE starts_with(holder, %(prefix)s)
