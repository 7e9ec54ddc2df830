-- The events of a list of ids that may be sent, in its order; texts up to `most_bytes`, null after the one that reaches them.
WITH wanted AS (
    SELECT w.id, w.n FROM unnest(%(ids)s::bytea[]) WITH ORDINALITY AS w (id, n)
)
SELECT t.n, t.id, CASE WHEN t.bytes_to_here - t.bytes < %(most_bytes)s THEN t.json END
FROM (
    SELECT f.n, f.id, f.json, octet_length(f.json) AS bytes, sum(octet_length(f.json)) OVER (ORDER BY f.n) AS bytes_to_here
    FROM ($TEXTS) AS f (n, id, json)
) AS t
ORDER BY t.n
