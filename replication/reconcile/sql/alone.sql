-- Whether this transaction has the run with a peer for itself; until its end, through which it is idle.
SELECT pg_try_advisory_xact_lock(hashtext('relay reconcile'), %(peer)s),
       set_config('idle_in_transaction_session_timeout', '0', true)
