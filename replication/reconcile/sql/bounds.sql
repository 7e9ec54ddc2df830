-- Every `step`-th item of a window, of the first step * most items.
SELECT int8send(c.created_at) || c.id
FROM (
    SELECT i.created_at, i.id, row_number() OVER (ORDER BY i.created_at, i.id) AS n
    FROM ($COMPARED) AS i (created_at, id)
    LIMIT %(step)s * %(most)s
) AS c
WHERE c.n %% %(step)s = 0
ORDER BY c.created_at, c.id
