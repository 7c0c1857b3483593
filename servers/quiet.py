"""Settings of the MCP library for a suite that stays at home: nothing phones out or decorates."""

from __future__ import annotations

import logging

import fastmcp

_SETTINGS = {
    "check_for_updates": "off",
    "telemetry_mode": "off",
    "show_server_banner": False,
    "enable_rich_logging": False,
    "enable_rich_tracebacks": False,
    "log_level": "WARNING",
    "mask_error_details": True,
    "mcp_camelcase_compat": False,
    "http_host_origin_protection": True,
}


def quieten() -> None:
    """Apply the settings; each is validated by the library."""
    for name, value in _SETTINGS.items():
        setattr(fastmcp.settings, name, value)
    # What goes wrong inside a tool is logged once, by `servers.answers`, and never with arguments.
    for noisy in ("fastmcp", "mcp"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
