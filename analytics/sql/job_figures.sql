-- The jobs of these names that run at an interval and are switched on: name, seconds between two runs, and when one last ended well
-- (Unix seconds). Before the first time: since when runs are known, which is a week at most, or since the store was made. A run that was
-- skipped is none that ended well: where each run times out, the one between two such runs is skipped. Runs that a clock which was ahead
-- has dated in the future are left out: they would count as the newest until then.
SELECT t.name,
       i.every * CASE i.period WHEN 'days' THEN 86400 WHEN 'hours' THEN 3600 WHEN 'minutes' THEN 60 WHEN 'seconds' THEN 1
                 ELSE 0.000001 END,
       extract(epoch FROM coalesce(last.finished_at, known.since))
FROM django_celery_beat_periodictask AS t
JOIN django_celery_beat_intervalschedule AS i ON i.id = t.interval_id
CROSS JOIN (
    SELECT coalesce(
        (SELECT min(r.started_at) FROM analytics_job_run AS r WHERE r.started_at <= statement_timestamp()),
        (SELECT min(m.applied) FROM django_migrations AS m)
    )
) AS known (since)
LEFT JOIN LATERAL (
    SELECT r.finished_at FROM analytics_job_run AS r
    WHERE r.job = t.name AND r.outcome = 'done'
      AND r.started_at <= statement_timestamp() AND r.finished_at <= statement_timestamp()
    ORDER BY r.started_at DESC LIMIT 1 -- analytics_run_job
) AS last ON true
WHERE t.enabled AND t.name = ANY (%s)
