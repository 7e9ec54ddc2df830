"""For English, the language of the admin."""
