"""The one way in for events, whatever hands them in: a socket, an import, a peer region, the admin (X-2).

It answers with outcomes; only the socket makes frames of them.
"""
