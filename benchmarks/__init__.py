"""Measurements side by side, in one run: every figure is a ratio against a peer or a limit beside it."""
