"""Django's database backend of the read replicas."""
