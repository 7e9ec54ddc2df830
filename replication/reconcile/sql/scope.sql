-- What is sent to a peer.
SELECT r.send, r.send_kinds::text, r.send_authors::text, r.may_read_private
FROM replication_region AS r WHERE r.origin = %(peer)s AND r.enabled AND NOT r.is_local
