"""The `alphaswarm` command: its groups, and the one place where errors become exit codes.

Nothing heavy is imported here, nor by the modules named here: each command loads what it needs.
"""

from __future__ import annotations

import sys

import typer

from clients.cli import (
    admin,
    bridging,
    calling,
    connecting,
    demonstration,
    halting,
    lake,
    lifecycle,
    mapping,
    output,
    running,
    showing,  # noqa: F401  its commands are in the group of `running`
    signin,
    specifying,
    stack,
    stepping,
    workload,
)
from topology.errors import AlphaSwarmError

app = typer.Typer(
    name="alphaswarm",
    help="A local-first, MCP-native agent server suite for quantitative research and trading.",
    no_args_is_help=True,
    # Panels and colours for a person; plain text, which also starts faster, for everything else.
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _group in (
    demonstration,
    lifecycle,
    signin,
    stepping,
    running,
    lake,
    specifying,
    calling,
    connecting,
    bridging,
    halting,
    stack,
    workload,
    admin,
    mapping,
):
    _group.register(app)


def main() -> None:
    """Run one command and exit with the code of the public contract."""
    try:
        app(prog_name="alphaswarm")
    except AlphaSwarmError as error:
        sys.exit(output.current.error(error))
    except KeyboardInterrupt:
        output.note("Stopped.")
        sys.exit(output.DETACHED)
