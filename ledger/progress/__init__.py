"""The one progress bus: frames are rows of ``run_events`` first, and hints in Valkey after that."""
