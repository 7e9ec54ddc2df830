-- The jobs of these names that are switched on in the schedule: name, seconds between two runs, and when one last ended well (Unix
-- seconds). Before the first time: since when runs are known, which is a week at most, or since the store was made.
SELECT t.name,
       i.every * CASE i.period WHEN 'days' THEN 86400 WHEN 'hours' THEN 3600 WHEN 'minutes' THEN 60 WHEN 'seconds' THEN 1
                 ELSE 0.000001 END,
       extract(epoch FROM coalesce(last.finished_at, known.since))
FROM django_celery_beat_periodictask AS t
JOIN django_celery_beat_intervalschedule AS i ON i.id = t.interval_id
CROSS JOIN (
    SELECT coalesce((SELECT min(r.started_at) FROM analytics_job_run AS r), (SELECT min(m.applied) FROM django_migrations AS m))
) AS known (since)
LEFT JOIN LATERAL (
    SELECT r.finished_at FROM analytics_job_run AS r
    WHERE r.job = t.name AND r.outcome IN ('done', 'skipped')
    ORDER BY r.started_at DESC LIMIT 1 -- analytics_run_job
) AS last ON true
WHERE t.enabled AND t.name = ANY (%s)
