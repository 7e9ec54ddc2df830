"""How far a copy must have advanced before it may answer: to everything acknowledged before the query."""
