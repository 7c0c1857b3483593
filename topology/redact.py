"""What looks like a secret, and the logging filter that hides it."""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from typing import Any

HIDDEN = "[hidden]"

_PATTERNS = (
    re.compile(r"eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,4}"),
    re.compile(r"(?i)(?<=\bbearer )[^\s\"',;]+"),
    re.compile(r"(?i)(?<=\bbasic )[A-Za-z0-9+/=_-]{6,}"),
    re.compile(r"\basw_[A-Za-z0-9]+_[A-Za-z0-9_-]+"),
    re.compile(r"(?<=://)[^\s/@\"']+(?=@)"),
    re.compile(
        r"(?i)(?<![a-z0-9])(?:[a-z0-9]+[_-])*(?:password|passwd|secret|api[_-]?key|access_token|"
        r"refresh_token|code_verifier|client_assertion)[\"']?\s*[=:]\s*[\"']?"
        r"(?P<value>[^\s\"',;&}]+)"
    ),
)
_KNOWN = re.compile(r"^(eyJ|asw_|sk-|ghp_|gho_|github_pat_|xox[abp]-|AKIA|-----BEGIN)")
_WORD = re.compile(r"^[A-Za-z0-9+=]{20,}$")


def redact(text: str) -> str:
    """Return ``text`` with tokens, passwords in URLs and secret fields replaced by ``[hidden]``."""
    for pattern in _PATTERNS:
        text = pattern.sub(_hide, text)
    return text


def looks_secret(text: str) -> bool:
    """Tell whether a literal is a known kind of token or holds a word too random to be a name.

    Random: 20 or more characters between separators that mix letters and digits, with at least
    3.5 bits of entropy per character (Shannon 1948).
    """
    return bool(_KNOWN.match(text)) or any(map(_random, re.split(r"[/_-]", text)))


def _random(word: str) -> bool:
    if not _WORD.match(word) or not re.search(r"\d", word) or not re.search(r"[A-Za-z]", word):
        return False
    size = len(word)
    return -sum(n / size * math.log2(n / size) for n in Counter(word).values()) >= 3.5


class RedactingFilter(logging.Filter):
    """Hide secrets in the message, its arguments and the trace of every record it sees."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place and keep it."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg} {record.args}"
        record.msg, record.args = redact(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


def install(*names: str) -> None:
    """Put the filter on every handler of the root and of the named loggers, once.

    Handlers, because a logger's filters do not see its children's records. The logger
    ``authlib`` stays at INFO: at DEBUG it logs whole tokens.
    """
    for name in ("", *names):
        for handler in logging.getLogger(name).handlers:
            if not any(isinstance(f, RedactingFilter) for f in handler.filters):
                handler.addFilter(RedactingFilter())
    logging.getLogger("authlib").setLevel(logging.INFO)


def _hide(found: re.Match[str]) -> str:
    value = found.groupdict().get("value")
    if value is None:
        return HIDDEN
    return f"{found[0][: found.start('value') - found.start()]}{HIDDEN}"


def redacted(value: Any) -> Any:
    """Return a JSON value with every text in it redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    if isinstance(value, dict):
        return {key: redacted(item) for key, item in value.items()}
    return value
