"""The faces: MCP apps, the identity server and HTTP streams; composition only."""

import os

# FastMCP reads ``.env`` of the current folder at import: whose folder that is, nobody knows.
os.environ.setdefault("FASTMCP_ENV_FILE", os.devnull)
