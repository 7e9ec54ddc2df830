"""Pages of the admin, as the tests of several files read them."""

from django.test import Client


def page(client: Client, path: str, **asked: str) -> str:
    """The HTML of a page that must be there."""
    answer = client.get(path, asked)
    assert answer.status_code == 200
    return answer.content.decode()
