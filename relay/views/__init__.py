"""What the relay answers over HTTP. No SQL here, and nothing that waits for Django's ORM."""
