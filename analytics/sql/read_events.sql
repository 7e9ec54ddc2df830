-- A page of the stored events, newest first, after the row (created_at, id) that was read last, not before `begin`.
-- /*only*/ takes a further condition.
SELECT id, pubkey, created_at, expires_at, kind, octet_length(json),
       CASE WHEN kind IN ($READ_KINDS) AND octet_length(json) <= $READ_BYTES THEN json END
FROM (
    (SELECT * FROM relay_event AS e WHERE created_at = %(created_at)s AND id > %(id)s AND $PRESENT /*only*/ ORDER BY id LIMIT %(limit)s)
    UNION ALL
    (SELECT * FROM relay_event AS e WHERE created_at < %(created_at)s AND created_at >= %(begin)s AND $PRESENT /*only*/
     ORDER BY created_at DESC, id LIMIT %(limit)s)
) AS e
ORDER BY created_at DESC, id
LIMIT %(limit)s
