"""A row says of a stored text what decoding the whole of it says."""

from hypothesis import given

from relay.changes.row import Row, created_at_of, id_of
from tests import strategies
from tests.unit.changes.orders import Json, stored


@given(strategies.events())
def test_a_row_equals_the_fields_of_the_whole_event(event: Json) -> None:
    whole = stored(event)
    row = Row.of(whole.json)
    assert (row.id, row.created_at, row.kind, row.expires_at, row.json) == (
        whole.id,
        whole.created_at,
        whole.kind,
        whole.expires_at,
        whole.json,
    )
    assert (id_of(whole.json).decode(), created_at_of(whole.json)) == (whole.id, whole.created_at)
