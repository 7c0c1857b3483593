"""The wire from the caller's side: the audience-bound session and the command line."""
