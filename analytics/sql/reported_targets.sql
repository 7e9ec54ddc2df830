CREATE MATERIALIZED VIEW reported_targets AS
WITH report AS (
    SELECT target_type, target, reporter, reason, created_at
    FROM analytics_report
    WHERE created_at > analytics_now() - $REPORT_SECONDS AND created_at <= analytics_now()
      AND (expires_at IS NULL OR expires_at > analytics_now())
), counted AS (
    SELECT target_type, target, count(*)::integer AS reports, count(DISTINCT reporter)::integer AS reporters,
           min(created_at) AS first_at, max(created_at) AS last_at
    FROM report GROUP BY target_type, target
), worst AS (
    SELECT * FROM counted ORDER BY reporters DESC, reports DESC, last_at DESC, target_type, target LIMIT $MOST_REPORTED
)
SELECT target_type || ':' || encode(target, 'hex') AS key, worst.*, (
           SELECT jsonb_object_agg(reason, n) FROM (
               SELECT reason, count(*) AS n FROM report
               WHERE report.target_type = worst.target_type AND report.target = worst.target
               GROUP BY reason
           ) AS by_reason
       ) AS reasons
FROM worst;
CREATE UNIQUE INDEX reported_targets_one ON reported_targets (key);
