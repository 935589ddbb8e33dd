"""Tests of the proxy, over real HTTP on loopback."""
