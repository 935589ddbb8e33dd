"""Export and import: entries as lines of JSON and back, and what other caches have kept."""
