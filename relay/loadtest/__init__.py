"""A load test for any Nostr relay, over its WebSocket alone: `manage.py loadtest`, docs/loadtest.md.

Rule: nothing here knows this relay, its settings or its database, and every run is bounded in connections,
events and time. Processes: `coordinator` (the command) starts `worker`s, which load the relay and send back a `Tally`.
"""
