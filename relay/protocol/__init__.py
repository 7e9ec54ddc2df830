"""The Nostr protocol as pure values and functions: no Django, no event loop, no clock, no I/O."""
