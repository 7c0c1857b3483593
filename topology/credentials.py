"""Credential references: where a secret comes from, resolved late, never printed.

``env:NAME``, ``file:/absolute/path`` (0600; ``#key`` picks a member of a JSON object) and
``keyring:service/user``. Errors name the reference only.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from topology.errors import CredentialError

_SHAPES = {
    "env": re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}"),
    "file": re.compile(r"/[^\0\n#]+(#[A-Za-z0-9_.-]+)?"),
    "keyring": re.compile(r"[^/\s]{1,128}/[^/\s]{1,128}"),
}
_LARGEST = 65_536


@dataclass(frozen=True, slots=True)
class CredentialRef:
    """A well-formed reference; printing it is safe."""

    scheme: str
    target: str

    @classmethod
    def parse(cls, text: str) -> CredentialRef:
        """Return the reference, or raise ValueError with a sentence that repeats no value."""
        scheme, colon, target = text.partition(":")
        if not colon or scheme not in _SHAPES:
            raise ValueError(
                "must be a reference (env:NAME, file:/absolute/path, keyring:service/user), "
                "never the secret itself"
            )
        if not _SHAPES[scheme].fullmatch(target):
            raise ValueError(f"not a well-formed {scheme}: reference")
        return cls(scheme, target)

    def resolve(self, environ: Mapping[str, str] = os.environ) -> SecretStr:
        """Return the secret; nothing there, or a file others may read, is a `CredentialError`."""
        if self.scheme == "env":
            value = environ.get(self.target, "")
        elif self.scheme == "file":
            value = self._from_file()
        else:
            value = self._from_keyring()
        if not value:
            raise self._missing("it is empty or not set", "Set it, then start again.")
        return SecretStr(value)

    def __str__(self) -> str:
        return f"{self.scheme}:{self.target}"

    def _from_file(self) -> str:
        name, _, key = self.target.partition("#")
        text = self._read(Path(name))
        if not key:
            return text.rstrip("\r\n")
        try:
            members = json.loads(text)
        except ValueError:
            members = None
        value = members.get(key) if isinstance(members, dict) else None
        return value if isinstance(value, str) else ""

    def _read(self, path: Path) -> str:
        """Read a private regular file; links may not lead out of its folder."""
        try:
            real = path.resolve(strict=True)
            if not real.is_relative_to(path.parent.resolve()):
                raise self._missing("the link leads out of its folder", "Name the file itself.")
            with real.open("rb") as file:
                facts = os.fstat(file.fileno())
                if not stat.S_ISREG(facts.st_mode) or facts.st_mode & 0o077:
                    raise self._missing("other users may read it", "Run chmod 600 on it.")
                return file.read(_LARGEST).decode()
        except (OSError, UnicodeDecodeError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or "it is not a text file"
            raise self._missing(str(why), "Create the file with mode 0600.") from None

    def _from_keyring(self) -> str:
        service, _, user = self.target.partition("/")
        try:
            import keyring
            import keyring.errors
        except ImportError:
            raise self._missing("no keyring is installed", "Use file: or env: instead.") from None
        try:
            return keyring.get_password(service, user) or ""
        except keyring.errors.KeyringError:
            raise self._missing("this machine has no keyring", "Use file: instead.") from None

    def _missing(self, why: str, hint: str) -> CredentialError:
        return CredentialError(
            f"The credential {str(self)!r} cannot be read: {why}.", hint=hint, reference=str(self)
        )
