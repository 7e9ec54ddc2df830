"""Anti-entropy: two regions compare what they serve by negentropy, and send each other what is lacking.

Rule: what takes away (deletions, requests to vanish) is compared and applied on both sides first, then the rest.
"""
