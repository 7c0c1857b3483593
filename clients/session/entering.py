"""Signing in for a bridge: a code to allow in a browser, shown in what each call answers.

The code stands for all servers of the bridge. Whoever signs in another way is not held up: every
call looks for the stored sign-in first.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from clients import device, login
from clients.errors import SIGN_IN
from clients.tokens import TokenStore
from topology.errors import AlphaSwarmError, RefusedError
from topology.services import Face

CODE_S = 5.0
"""How long a call waits for the issuer to give a code."""


class Entrance:
    """The sign-in of a bridge, begun by the first call that needs one."""

    def __init__(
        self,
        faces: Sequence[Face],
        store: TokenStore,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sleep = sleep
        self._faces = faces
        self._store = store
        self._code: Future[device.Code] | None = None

    async def led(self, error: AlphaSwarmError) -> AlphaSwarmError:
        """Return ``sign_in_required`` with the address to open; any other error as it is."""
        if error.wire_code != SIGN_IN:
            return error
        if self._code is None:
            self._code = Future()
            # A daemon: a client that leaves does not wait for the person.
            threading.Thread(
                target=self._wait, args=(self._code,), name="sign-in", daemon=True
            ).start()
        code = asyncio.wrap_future(self._code)
        done, _ = await asyncio.wait([code], timeout=CODE_S)
        if not done or code.exception() is not None:
            return error  # no issuer to ask: the hint names the command
        shown = code.result()
        return RefusedError(
            error.message,
            hint=f"Ask the person to open {shown.complete_url} and to allow the code "
            f"{shown.user_code}, then call again; or to run `alphaswarm login`.",
            code=SIGN_IN,
            **{**error.facts, "url": shown.complete_url, "user_code": shown.user_code},
        )

    def _wait(self, code: Future[device.Code]) -> None:
        """Ask for a code and wait until somebody allows it; afterwards the next call may ask."""
        wanted = [(face, login.usual(face)) for face in self._faces]
        try:
            grants = device.by_device(wanted, code.set_result, now=time.time, sleep=self._sleep)
            login.keep(self._store, self._faces, grants)
        except Exception as error:  # noqa: BLE001  who waits for the code gets it
            if not code.done():
                code.set_exception(error)
        finally:
            self._code = None
