"""The format of dates and times: year first, so that text sorts by time, and in UTC for every operator."""
