-- The regions as clients are routed to them, as the JSON of replication.geo.regions.Row. A peer that was never asked is
-- not up.
SELECT coalesce(
    json_agg(
        json_build_object(
            'name', r.name,
            'is_local', r.is_local,
            'latitude', r.latitude,
            'longitude', r.longitude,
            'relay_urls', r.relay_urls,
            'weight', r.weight,
            'is_up', coalesce(h.ready, false),
            'heard_at', extract(epoch FROM h.last_contact_at)::float8,
            'connections', coalesce(h.connections, 0),
            'capacity', coalesce(h.capacity, 0)
        )
        ORDER BY r.name
    ),
    '[]'
)::text
FROM replication_region AS r
LEFT JOIN replication_peerhealth AS h ON h.peer_id = r.origin
WHERE r.enabled OR r.is_local
