"""Range-based set reconciliation, protocol version 1 of NIP-77: both sides, over items (created_at, id).

Messages are bytes; NEG-OPEN and NEG-MSG carry them in hex. Source: NIP-77, and tests/vectors/negentropy.json.
"""
