-- What the store gained and lost, in the hour of the roll-up's clock.
INSERT INTO analytics_growth AS g (hour, added, removed, bytes_added, events)
VALUES (%(now)s / 3600 * 3600, %(added)s, %(removed)s, %(bytes_added)s, %(events)s)
ON CONFLICT (hour) DO UPDATE SET added = g.added + excluded.added, removed = g.removed + excluded.removed,
    bytes_added = g.bytes_added + excluded.bytes_added, events = excluded.events
