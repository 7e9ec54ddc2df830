INSERT INTO analytics_report (event_id, target_type, target, reporter, reason, created_at, expires_at)
SELECT * FROM unnest(
    %(ids)s::bytea[], %(target_types)s::text[], %(targets)s::bytea[], %(reporters)s::bytea[], %(reasons)s::text[],
    %(created_ats)s::bigint[], %(expires_ats)s::bigint[]
) AS r (event_id, target_type, target, reporter, reason, created_at, expires_at)
WHERE created_at > %(begin)s AND created_at <= %(end)s
ON CONFLICT DO NOTHING
