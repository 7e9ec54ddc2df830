"""Regions, and what is known of the replication to each of them."""

from replication.models.lanes import DeadLetter, Lane, LaneState, PeerLane
from replication.models.refused import RefusedId
from replication.models.region import Region, Selection
from replication.models.reports import PeerHealth, Repair

__all__ = ["DeadLetter", "Lane", "LaneState", "PeerHealth", "PeerLane", "RefusedId", "Region", "Repair", "Selection"]
