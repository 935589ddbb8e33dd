"""The ways in from Python, and the wiring of store, codec, ledger and runners."""
