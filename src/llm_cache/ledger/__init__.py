"""Counts and money: a listener for what happened, prices, and the account of it."""
