"""The one way in for events: sockets, imports, peer regions and the admin use it (X-2).

It returns outcomes; only the socket makes frames of them.
"""
