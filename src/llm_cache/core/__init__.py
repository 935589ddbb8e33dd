"""Decides what happens to a call. No I/O, no clock, no threads; standard library only."""
