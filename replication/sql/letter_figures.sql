-- For /metrics: how many events each peer refuses, by class of reasons.
SELECT r.name, d.reason_class, count(*)::float8
FROM replication_deadletter AS d JOIN replication_region AS r ON r.origin = d.peer_id
GROUP BY r.name, d.reason_class
