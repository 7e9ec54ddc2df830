#!/bin/sh
# On the first start of the primary: the relay's role and database, and what the replica needs.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$DATABASE_PASSWORD" -U "${POSTGRES_USER:-postgres}" -d postgres <<'SQL'
CREATE ROLE relay LOGIN PASSWORD :'password';
CREATE DATABASE relay OWNER relay TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
CREATE ROLE replication LOGIN REPLICATION PASSWORD :'password';
SELECT pg_create_physical_replication_slot('replica_1');
SQL
echo "host replication replication samenet scram-sha-256" >> "$PGDATA/pg_hba.conf"
