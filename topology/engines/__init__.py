"""The embedded PostgreSQL and Valkey: real servers from pip wheels under our own supervisor."""
