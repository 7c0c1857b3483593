"""What a browser script may ask the test to do meanwhile: one named act for each POST, in turn."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@contextmanager
def hands(**acts: Callable[[], Any]) -> Iterator[str]:
    """Serve ``acts`` on a loopback port and yield its address: POST /NAME returns JSON.

    An act that raises answers 500 with what it raised, and the script fails there.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                status, said = 200, acts[self.path.strip("/")]()
            except Exception as error:  # noqa: BLE001  the script says it
                status, said = 500, repr(error)
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  inherited
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
