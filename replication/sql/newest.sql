-- The position of the newest entry of the log.
SELECT relay_position()
