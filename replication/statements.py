"""The package's SQL: one file for each statement."""

from pathlib import Path

from relay.storage.statements import Statements
from relay.storage.visibility_sql import STORED
from replication.lanes import LANE_SQL
from replication.selection import selected_sql

statement = Statements(
    Path(__file__).with_name("sql"), lambda: {"STORED": STORED, "LANE": LANE_SQL, "SELECTED": selected_sql()}
)
