"""Workloads: processes and containers that a person has approved, started, watched and stopped."""
