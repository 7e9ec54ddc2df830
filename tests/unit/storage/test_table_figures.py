"""The estimate of what rows and entries take on full pages."""

import pytest

from relay.storage.table_figures import row_bytes


@pytest.mark.parametrize(
    ("widths", "aligns", "head", "size"),
    [
        ([33, 8, 33], ["i", "d", "i"], 8, 8 + 33 + 7 + 8 + 33 + 7 + 4),  # (pubkey, created_at, id)
        ([4, 8, 33], ["i", "d", "i"], 8, 8 + 4 + 4 + 8 + 33 + 7 + 4),  # (kind, created_at, id)
        ([8], ["d"], 8, 8 + 8 + 4),
        ([600], ["i"], 24, 24 + 600 + 4),
    ],
)
def test_columns_are_aligned_as_postgresql_aligns_them(
    widths: list[int], aligns: list[str], head: int, size: int
) -> None:
    assert row_bytes(widths, aligns, head) == size
