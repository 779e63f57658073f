"""Who may ask: checks of host, origin and token, and the headers of every answer."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from detectorkit.serve.metrics import Metrics

__all__ = ["Guard", "is_loopback"]

_COOKIE: Final = "detectorkit"
_HEADERS: Final = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_ASK: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>detectorkit</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<main><h1>detectorkit</h1><p>%s</p><form><p><label>Token <input name="token" type="password"
autocomplete="current-password" required></label> <button>Open</button></p></form></main></html>"""


class Guard:
    """Middleware that lets requests pass or answers them itself.

    Parameters
    ----------
    app : ASGI application
        What answers the requests that may pass.
    metrics : Metrics
        Where all answers are counted.
    paths : collection of str
        Paths that are counted by name; all others are one.
    token : str or None
        Token that requests must have. None asks for none.
    loopback_only : bool
        Whether requests must name this machine as their host, so that no foreign page can reach
        the server by a name of its own (DNS rebinding).
    """

    def __init__(
        self,
        app: Any,
        *,
        metrics: Metrics,
        paths: Collection[str],
        token: str | None,
        loopback_only: bool,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = paths
        self._token = token
        self._loopback_only = loopback_only

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.monotonic()
        path = scope["path"] if scope["path"] in self._paths else "other"

        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count(path, message["status"], time.monotonic() - begin)
                known = {name for name, _ in message["headers"]}
                added = _HEADERS | {"content-security-policy": _POLICY}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.encode(), value.encode())
                        for name, value in added.items()
                        if name.encode() not in known
                    ),
                ]
            with suppress(Exception):  # who asked has gone; servers raise errors of their own then
                await send(message)

        answer = self._refusal(Request(scope))
        await (self._app if answer is None else answer)(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        """Answer a request that may not pass."""
        host = _host_of(f"//{request.headers.get('host', '')}")
        if self._loopback_only and not is_loopback(host):
            return _error(400, "this server answers to localhost and 127.0.0.1 only.")
        origin = request.headers.get("origin")
        if origin is not None and _place_of(origin) != request.headers.get("host"):
            return _error(403, "requests from pages of other servers are refused.")
        if self._token is None or request.url.path == "/health":
            return None
        return self._ask_for_token(request, self._token)

    def _ask_for_token(self, request: Request, token: str) -> Response | None:
        is_page = request.url.path == "/" and request.method in {"GET", "HEAD"}
        given = request.query_params.get("token")
        if is_page and given is not None:
            if not _equal(given, token):
                return HTMLResponse(_ASK % "This is not the token.", 401)
            answer = RedirectResponse("/", 303)
            answer.set_cookie(_COOKIE, _cookie_of(token), httponly=True, samesite="strict")
            return answer
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _equal(bearer.strip(), token):
            return None
        if _equal(request.cookies.get(_COOKIE, ""), _cookie_of(token)):
            return None
        if is_page:
            return HTMLResponse(_ASK % "Give the token that this server was started with.", 401)
        text = "a token is missing or wrong: send the header Authorization: Bearer TOKEN."
        return _error(401, text, {"www-authenticate": "Bearer"})


def _error(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": text}, status, headers)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, as seen by itself alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _place_of(url: str) -> str:
    """Return host and port of a URL; nothing if it is damaged."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _equal(given: str, expected: str) -> bool:
    """Compare in a time that does not tell how much of the text is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _cookie_of(token: str) -> str:
    """Return what a browser keeps in place of the token."""
    return hashlib.sha256(f"detectorkit serve {token}".encode()).hexdigest()
