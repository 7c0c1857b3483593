"""The rule of every message that a server takes: what is not in the table is not served."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from auth.policy import Rule
from tools.registry import Served

READ_METHODS = frozenset(
    {
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "resources/list",
        "resources/templates/list",
        "resources/subscribe",
        "resources/unsubscribe",
        "subscriptions/listen",
        "prompts/list",
        "completion/complete",
        "logging/setLevel",
        "tasks/get",
        "tasks/update",
    }
)
CANCEL = "cancel_run"
"""The tool whose rule ``tasks/cancel`` shares: both end a run."""


class Rules:
    """What a caller needs for each message of one server."""

    def __init__(self, read_scope: str, offered: Served) -> None:
        self.read = Rule(scopes=(read_scope,), actor="any")
        self._tools = dict(offered.tools)
        self._prompts = {name: spec.auth for name, spec in offered.prompts.items()}
        self._resources = [(_pattern(spec.uri), spec.auth) for spec in offered.resources.values()]

    def of(self, message: Mapping[str, Any]) -> tuple[Rule | None, str]:
        """Return the rule of a JSON-RPC message and what it is about; None: it is not served.

        A name outside the table is nobody's tool or resource: it goes on with the read rule and
        meets ``unknown_tool`` or "not found" there. A message without a method answers a question
        of ours.
        """
        method = message.get("method", "")
        if not isinstance(method, str):
            return None, ""
        params = message.get("params")
        params = params if isinstance(params, Mapping) else {}
        if method == "tools/call":
            name = str(params.get("name"))
            return self._tool(name, params.get("arguments")), name
        if method == "prompts/get":
            return self._prompts.get(str(params.get("name")), self.read), method
        if method == "resources/read":
            return self._resource(str(params.get("uri"))), method
        if method == "tasks/cancel":
            return self._tool(CANCEL, None), method
        served = not method or method in READ_METHODS or method.startswith("notifications/")
        return (self.read if served else None), method

    def _tool(self, name: str, arguments: Any) -> Rule:
        spec = self._tools.get(name)
        if spec is None:
            return self.read
        return spec.rule(arguments if isinstance(arguments, Mapping) else {})

    def _resource(self, uri: str) -> Rule:
        return next(
            (rule for pattern, rule in self._resources if pattern.fullmatch(uri)), self.read
        )


def _pattern(template: str) -> re.Pattern[str]:
    """Return what a URI of the template looks like; every ``{name}`` is one path segment.

    A query, which ``{?names}`` at the end stands for, may be there or not.
    """
    path, asked, _ = template.partition("{?")
    fixed = re.split(r"\{[a-z_]+\}", path)
    pattern = "[^/?]+".join(re.escape(part) for part in fixed)
    return re.compile(pattern + (r"(\?.*)?" if asked else ""))
