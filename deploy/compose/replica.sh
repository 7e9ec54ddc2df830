#!/bin/sh
# The replica: a copy of the primary on the first start, then a standby. It reads PGPASSWORD once; the copy keeps it.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    rm -rf "$PGDATA.new"
    mkdir -p -m 0700 "$(dirname "$PGDATA")"
    pg_basebackup -d "host=${PRIMARY:-primary} user=replication application_name=replica_1" -D "$PGDATA.new" \
        -R -X stream -S replica_1 --checkpoint=fast
    chmod 0700 "$PGDATA.new"
    mv "$PGDATA.new" "$PGDATA"
fi
exec postgres -c hot_standby_feedback=on -c max_standby_streaming_delay=2s \
    -c max_connections=300 -c max_locks_per_transaction=256 -c shared_buffers=512MB -c jit=off "$@"
