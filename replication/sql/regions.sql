-- Every region, as a worker needs it to tell who sends.
SELECT origin, name, is_local, enabled, trusted, sealed_secret, sealed_previous,
       coalesce(extract(epoch FROM previous_until)::bigint, 0), array_to_json(ARRAY(
           SELECT url FROM jsonb_array_elements_text(relay_urls) AS u (url)))::text
FROM replication_region
