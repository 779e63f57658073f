"""Serve verdicts over HTTP, with a page on which pictures are dropped.

Open the address that is printed in a browser, or send images as programs do:

    curl --data-binary @photo.jpg http://127.0.0.1:8000/predict

Pictures are kept in memory until they are judged, and never stored. Without --host, only programs
on this machine can ask. On any other address a token is asked for: that of --token, or of the
environment variable DETECTORKIT_TOKEN, which other users of the machine cannot see, or a new one
that is printed. What is sent is not encrypted: put a server with TLS in front where others listen.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from detectorkit.cli._common import add_jobs
from detectorkit.utils.extras import require_extra
from detectorkit.utils.progress import tell

__all__ = ["add_arguments", "run"]

_PATIENCE = 7  # seconds for requests that have begun; `detectorkit.__main__` has 10 for all


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``detectorkit serve``."""
    parser.add_argument(
        "-m", "--model", help="ONNX file or name of a shipped detector (default: the default one)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=int, default=8000, help="port; 0 takes a free one (default: 8000)"
    )
    parser.add_argument("--token", help="token that requests must have (default: see above)")
    add_jobs(parser)


def run(arguments: Namespace) -> int:
    """Run ``detectorkit serve``."""
    require_extra("serve", "starlette", "uvicorn", "python_multipart", caller="detectorkit serve")
    import uvicorn

    from detectorkit.serve import create_app
    from detectorkit.serve.guard import is_loopback

    host: str = arguments.host
    is_local = is_loopback(host)
    token: str | None = arguments.token or os.environ.get("DETECTORKIT_TOKEN") or None
    is_new = token is None and not is_local
    if is_new:
        token = secrets.token_urlsafe(24)
    listener = _listen(host, arguments.port)  # before the long work: the port may be taken
    app = create_app(arguments.model, n_jobs=arguments.jobs, token=token, loopback_only=is_local)
    name = socket.gethostname() if host in {"0.0.0.0", "::"} else host  # noqa: S104
    name = f"[{name}]" if ":" in name else name
    query = f"?token={token}" if is_new else ""
    tell(f"Open http://{name}:{listener.getsockname()[1]}/{query} in a browser. Ctrl-C ends this.")
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # not of every damaged form
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        http="h11",  # which bounds the headers of a request, and httptools does not
        ws="none",
        limit_concurrency=1000,
        timeout_graceful_shutdown=_PATIENCE,
    )
    _make_server(config).run(sockets=[listener])
    return 0


def _make_server(config: Any) -> Any:
    """Make a server of uvicorn that leaves those signals ignored that were ignored before."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            signals = (signal.SIGINT, signal.SIGTERM)
            ignored = [one for one in signals if signal.getsignal(one) == signal.SIG_IGN]
            with super().capture_signals():
                for one in ignored:
                    signal.signal(one, signal.SIG_IGN)
                yield

    return Server(config)


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port < 2**16:
        raise ValueError(f"--port {port}: pass a number from 0 to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise OSError(f"cannot listen at {host}, port {port}: {error.strerror}.") from error
    # asyncio does so only for sockets that name their protocol. Otherwise the second part of an
    # answer waits 40 ms for the first to be acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
