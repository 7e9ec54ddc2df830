"""Every metric of the relay itself: its name, its type, its labels, what it means, and where its value comes from.

Rule: a metric is one entry of `METRICS`, computed from the figures that workers publish and from nothing else;
docs/operations/metrics.md lists the same, which a test compares. Those of jobs stand in exposition_tasks, those of HTTP
are django-prometheus's.
"""

from analytics import exposition_values as of
from analytics.exposition_kinds import Counted, Highest, Lowest, Measured, Shown, Spread

CACHE = ("layer", "cache")

METRICS: tuple[Shown, ...] = (
    Spread(
        "nostr_query_latency_seconds",
        "From the arrival of a query to its EOSE or CLOSED, by what had the answer.",
        of.query_latency,
        ("operation", "cache_hit"),
    ),
    Spread("nostr_ok_latency_seconds", "From the arrival of an EVENT that was written to its OK.", of.histogram("ok")),
    Spread("nostr_write_batch_events", "Events of one transaction.", of.histogram("batch")),
    Measured("nostr_events_per_second", "Events stored, over 5 s.", of.figure(lambda total: total.events_per_second)),
    Measured("nostr_queries_per_second", "Queries begun, over 5 s.", of.figure(lambda total: total.queries_per_second)),
    Measured("nostr_active_websockets", "Open connections.", of.figure(lambda total: total.connections)),
    Measured("nostr_active_subscriptions", "Open subscriptions.", of.figure(lambda total: total.subscriptions)),
    Measured("nostr_workers", "Relay workers that live, by version.", of.versions, ("version",)),
    Counted("nostr_websocket_messages_total", "Messages by kind.", of.messages, ("direction", "type")),
    Counted("nostr_websocket_bytes_total", "Bytes of messages.", of.counts(of.BYTES), ("direction",)),
    Counted("nostr_websocket_closes_total", "Connections that ended, by close code.", of.closes, ("code",)),
    Counted("nostr_connections_opened_total", "Connections accepted.", of.count("connections_opened")),
    Counted("nostr_connections_refused_total", "Connections refused.", of.count("connections_refused")),
    Counted("nostr_handshakes_refused_total", "Bad WebSocket handshakes.", of.count("handshakes_refused")),
    Counted("nostr_handshakes_timed_out_total", "Request heads that took too long.", of.count("handshakes_timed_out")),
    Counted("relay_http_refused_total", "Connections and requests refused or cut.", of.http_refused, ("reason",)),
    Counted("nostr_protocol_errors_total", "Connections that broke a rule of WebSocket.", of.count("protocol_errors")),
    Counted("nostr_connections_aborted_total", "Connections cut, by reason.", of.counts(of.ABORTED), ("reason",)),
    Counted("nostr_transport_yields_total", "Times that a busy client had to let others go first.", of.count("yields")),
    Counted("nostr_outbox_closures_total", "Clients cut because they did not read.", of.count("outbox_closures")),
    Counted(
        "nostr_events_received_total", "Events that clients sent.", lambda figures: [((), of.events_received(figures))]
    ),
    Counted("nostr_events_stored_total", "Events stored.", of.count("events_stored")),
    Counted("nostr_events_ephemeral_total", "Ephemeral events handed on.", of.count("events_ephemeral")),
    Counted("nostr_events_duplicate_total", "Events that were stored already.", of.count("events_duplicate")),
    Counted("nostr_events_rejected_total", "Events refused, by the prefix of the OK.", of.rejections, ("reason",)),
    Counted("nostr_deliveries_total", "Live events handed to a subscription.", of.count("deliveries")),
    Counted("nostr_queries_total", "Queries begun.", of.count("queries")),
    Counted("nostr_queries_failed_total", "Queries that ended with CLOSED.", of.count("queries_failed")),
    Counted("nostr_internal_errors_total", "Faults of the relay itself.", of.count("internal_errors")),
    Measured("nostr_db_connections", "Connections to PostgreSQL of workers.", of.pool_states, ("pool", "state")),
    Lowest("nostr_database_up", "1: every worker reaches the database.", of.figure(lambda total: total.database_up)),
    Counted("nostr_db_queries_total", "Queries that PostgreSQL was asked.", of.count("read_queries")),
    Counted("nostr_db_read_failures_total", "Statements that failed or timed out.", of.count("read_failures")),
    Counted("nostr_db_pieces_total", "Statements for texts of large answers.", of.count("read_pieces")),
    Counted("nostr_db_second_attempts_total", "Queries that read too much at first.", of.count("read_second_attempts")),
    Counted("nostr_db_reads_refused_total", "Queries that would read too much.", of.count("read_refused")),
    Counted("nostr_piece_waits_total", "Pieces of large answers that waited for memory.", of.count("piece_waits")),
    Measured("nostr_write_queue_events", "Events that wait to be written.", of.figure(lambda total: total.write_queue)),
    Counted("nostr_write_failures_total", "Events that could not be written.", of.count("write_failures")),
    Measured("nostr_cache_hit_rate", "Hits in percent of look-ups, over 60 s.", of.hit_rates, ("layer",)),
    Counted("nostr_cache_hits_total", "Look-ups that found it.", of.cache_number("hits"), CACHE),
    Counted("nostr_cache_misses_total", "Look-ups that did not.", of.cache_number("misses"), CACHE),
    Counted("nostr_cache_errors_total", "Look-ups that failed.", of.cache_number("errors"), CACHE),
    Counted("nostr_cache_evictions_total", "Entries dropped, by reason.", of.evictions, (*CACHE, "reason")),
    Measured("nostr_cache_entries", "Entries held.", of.cache_number("size"), CACHE),
    Measured("nostr_cache_bytes", "Bytes held.", of.cache_number("bytes"), CACHE),
    Highest(
        "relay_single_instance_lease",
        "1: this instance holds the single-instance lease.",
        of.figure(lambda total: total.single_instance),
    ),
    Counted("relay_barrier_from_memory_total", "Positions read from shared memory.", of.count("barrier_from_memory")),
    Counted("relay_barrier_looks_total", "Positions read from the primary.", of.count("barrier_looks")),
    Counted("relay_barrier_held_total", "Batches whose OKs waited for the end of a lease.", of.count("barrier_held")),
    Counted("relay_flights_total", "Fetches, and requests that shared one.", of.counts(of.FLIGHTS), ("outcome",)),
    Counted("relay_cache_faults_total", "Times that a fault emptied the caches of a worker.", of.count("cache_faults")),
    Lowest("relay_shared_cache_up", "1: every worker reaches all of it.", of.figure(lambda total: total.shared_up)),
    Counted("relay_shared_cache_commands_total", "Commands sent.", of.count("shared_commands")),
    Counted("relay_shared_cache_failures_total", "Commands without an answer.", of.count("shared_failures")),
    Counted("relay_shared_cache_timeouts_total", "Connections given up as slow.", of.count("shared_timeouts")),
    Counted("relay_shared_cache_reconnects_total", "Connections made again.", of.count("shared_reconnects")),
    Counted("relay_shared_cache_dropped_total", "Commands refused: too many wait.", of.count("shared_dropped")),
    Highest(
        "nostr_cpu_utilization_percent",
        "Processor time of the busiest worker, in percent of one core, over 5 s.",
        of.figure(lambda total: total.busiest_percent),
    ),
    Measured("nostr_memory_utilization_bytes", "Memory of workers.", of.memory_kinds, ("type",)),
    Highest("relay_position", "The newest change applied.", of.figure(lambda total: total.position)),
    Highest(
        "relay_position_lag_seconds",
        "Age of the oldest change known and not applied, of the worker that is most behind.",
        of.figure(lambda total: total.lag_seconds),
    ),
    Highest(
        "relay_position_lag_changes", "Changes known and not applied, likewise.", of.figure(lambda total: total.lag)
    ),
    Measured("relay_ring_changes", "Changes in the rings of workers.", of.figure(lambda total: total.ring_changes)),
    Counted("relay_log_reads_total", "Reads of the log to catch up.", of.count("log_reads")),
    Counted("relay_log_changes_total", "Changes read from the log.", of.count("log_changes")),
    Lowest("relay_bus_up", "1: every worker hears the bus.", of.figure(lambda total: total.bus_up)),
    Counted("relay_bus_reconnects_total", "Times that the bus came back.", of.count("bus_reconnects")),
    Counted("relay_bus_messages_total", "Messages of the bus.", of.counts(of.BUS_MESSAGES), ("direction",)),
    Counted("relay_bus_dropped_total", "Messages of the bus that were dropped.", of.count("bus_dropped")),
    Counted("relay_bus_foreign_total", "Messages of another epoch or generation, dropped.", of.count("bus_foreign")),
    Counted("relay_bus_failures_total", "Exchanges with the bus that failed.", of.count("bus_failures")),
    Counted("relay_intake_dropped_total", "Batches dropped behind a hole.", of.count("intake_dropped")),
    Counted("relay_task_failures_total", "Background tasks that failed.", of.count("task_failures")),
    Counted("relay_status_failures_total", "Figures that could not be shown.", of.count("status_failures")),
    Counted("relay_logging_repeated_total", "Log lines left out as repeated.", of.count("logging_repeated")),
    Counted("relay_logging_dropped_total", "Log lines dropped.", of.count("logging_dropped")),
)
