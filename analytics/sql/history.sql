-- The minute history in steps: every step has a row, one without minutes is empty. Means, and the worst of the worst.
SELECT step.begin,
       avg(m.workers), avg(m.connections), avg(m.subscriptions), avg(m.events_per_second), avg(m.queries_per_second),
       max(m.query_p95_seconds), max(m.ok_p95_seconds), max(m.position_lag_seconds), avg(m.pool_used), max(m.pool_waiting),
       avg(m.cpu_percent), avg(m.memory_bytes), max(m.jobs_waiting), max(m.events), max(m.store_bytes),
       avg((m.hit_rates ->> 'L1')::float), avg((m.hit_rates ->> 'L2')::float), avg((m.hit_rates ->> 'L3')::float)
FROM generate_series(%(begin)s::timestamptz, %(end)s::timestamptz, %(step)s * interval '1 second') AS step (begin)
    LEFT JOIN analytics_minute AS m
        ON m.minute >= step.begin AND m.minute < step.begin + %(step)s * interval '1 second'
GROUP BY step.begin
ORDER BY step.begin
