"""What is sent to peers: the log is followed, by lane, from a cursor that is kept in the database."""
