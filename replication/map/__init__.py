"""The operators' map of the regions: their places, their health, and the lag of what is sent to them."""
