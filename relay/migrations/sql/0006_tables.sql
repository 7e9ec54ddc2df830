-- The addresses under which clients reach this store's relay: RELAY_URL and RELAY_OTHER_URLS of the worker that started
-- last, which every worker notes. Requests to vanish name them (62-1), and a command beside `serve` may not have its
-- environment. Empty until a worker has started.
ALTER TABLE relay_store ADD COLUMN urls text[] NOT NULL DEFAULT '{}';
