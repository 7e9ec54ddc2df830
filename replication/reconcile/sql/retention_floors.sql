-- What is not kept here: classes of kinds as spans, and the time before which they are removed.
SELECT r.kinds::text, r.before FROM relay_retention AS r
