-- One more sample of this minute: means of what goes up and down, the worst of latencies and lag, the newest of totals.
INSERT INTO analytics_minute AS m (minute, samples, workers, connections, subscriptions, events_per_second,
    queries_per_second, query_p95_seconds, ok_p95_seconds, position_lag_seconds, pool_used, pool_waiting, cpu_percent,
    memory_bytes, jobs_waiting, events, store_bytes, position, hit_rates)
SELECT date_trunc('minute', %(at)s::timestamptz, 'UTC'), 1, %(workers)s::float, %(connections)s::float,
    %(subscriptions)s::float, %(events_per_second)s::float, %(queries_per_second)s::float, %(query_p95_seconds)s::float,
    %(ok_p95_seconds)s::float, %(position_lag_seconds)s::float, %(pool_used)s::float, %(pool_waiting)s::float,
    %(cpu_percent)s::float, %(memory_bytes)s::float, %(jobs_waiting)s::float, c.events,
    (SELECT g.store_bytes FROM analytics_growth AS g ORDER BY g.hour DESC LIMIT 1), relay_position(), %(hit_rates)s::jsonb
FROM analytics_cursor AS c
ON CONFLICT (minute) DO UPDATE SET
    samples = m.samples + 1,
    workers = analytics_mean(m.samples, m.workers, excluded.workers),
    connections = analytics_mean(m.samples, m.connections, excluded.connections),
    subscriptions = analytics_mean(m.samples, m.subscriptions, excluded.subscriptions),
    events_per_second = analytics_mean(m.samples, m.events_per_second, excluded.events_per_second),
    queries_per_second = analytics_mean(m.samples, m.queries_per_second, excluded.queries_per_second),
    query_p95_seconds = greatest(m.query_p95_seconds, excluded.query_p95_seconds),
    ok_p95_seconds = greatest(m.ok_p95_seconds, excluded.ok_p95_seconds),
    position_lag_seconds = greatest(m.position_lag_seconds, excluded.position_lag_seconds),
    pool_used = analytics_mean(m.samples, m.pool_used, excluded.pool_used),
    pool_waiting = greatest(m.pool_waiting, excluded.pool_waiting),
    cpu_percent = analytics_mean(m.samples, m.cpu_percent, excluded.cpu_percent),
    memory_bytes = analytics_mean(m.samples, m.memory_bytes, excluded.memory_bytes),
    jobs_waiting = greatest(m.jobs_waiting, excluded.jobs_waiting),
    events = excluded.events,
    store_bytes = excluded.store_bytes,
    position = excluded.position,
    hit_rates = m.hit_rates || excluded.hit_rates
