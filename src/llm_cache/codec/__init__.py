"""Turns entries and Python values into bytes and back. It knows no store, no provider and no SDK."""
