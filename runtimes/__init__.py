"""What does the work: specs, dispatch, the worker and one sanctioned runtime per kind."""
