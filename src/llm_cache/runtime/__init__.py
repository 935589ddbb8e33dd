"""Performs plans: with threads, with an event loop. Decides nothing."""
