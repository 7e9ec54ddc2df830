"""Anti-entropy: two regions compare what they serve, by negentropy in windows of time, and send each other what is lacking.

Order of a run: what takes away (deletions, requests to vanish) is compared and applied on both sides first, then the rest.
"""
