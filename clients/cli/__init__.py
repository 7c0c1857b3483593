"""The `alphaswarm` command: one file per group; whatever is heavy loads inside the command."""
