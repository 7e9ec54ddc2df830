"""HTTP views of the relay. Rule: no SQL, and no use of Django's ORM."""
