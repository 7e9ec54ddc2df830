-- The items of a window in one value, 40 bytes each, and how many were looked at: one more than `most` if there are too many.
SELECT coalesce(string_agg(int8send(i.created_at) || i.id, ''::bytea ORDER BY i.created_at, i.id), ''::bytea), count(*)
FROM ($COMPARED LIMIT %(most)s + 1) AS i (created_at, id)
