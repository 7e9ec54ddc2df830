"""One client's session: `session.py` holds its state, each verb has a file, `verbs.py` lists them."""
