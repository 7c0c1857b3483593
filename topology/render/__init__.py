"""Deployments from the map: pure functions from a `Topology` to files, the same bytes each time."""
