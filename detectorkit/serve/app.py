"""The application: what is asked of the server, and what it answers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from detectorkit.exceptions import ImageReadError
from detectorkit.images.decoding import TRUST_HINT
from detectorkit.images.headers import FORMATS, read_format
from detectorkit.serve.batching import Batcher
from detectorkit.serve.engine import BATCH, Engine, ReadyImage
from detectorkit.serve.guard import Guard
from detectorkit.serve.limits import Limits
from detectorkit.serve.metrics import Metrics
from detectorkit.serve.openapi import describe_api
from detectorkit.serve.upload import Upload
from detectorkit.utils.json import to_plain
from detectorkit.utils.parallel import count_threads

__all__ = ["create_app"]

_RETRY: Final = {"retry-after": "1"}
_N_START: Final = 64  # bytes that tell the format of a file


def create_app(
    model: str | os.PathLike[str] | None = None,
    *,
    n_jobs: int = -1,
    token: str | None = None,
    loopback_only: bool = True,
    limits: Limits | None = None,
) -> Guard:
    """Make the ASGI application that ``detectorkit serve`` runs.

    Read more in the :ref:`User Guide <serving>`.

    .. versionadded:: 0.1

    Parameters
    ----------
    model : str or Path, default=None
        Path of a saved detector, or name of a shipped one. None means the default detector.
    n_jobs : int, default=-1
        Number of threads that decode images, and of threads that run the detector. -1 means all
        processors.
    token : str, default=None
        Token that every request must have, but for those of ``/health``. None asks for none.
    loopback_only : bool, default=True
        Whether requests are refused whose header Host names another machine than this one. Set it
        to False, and a token, where other machines may ask.
    limits : Limits, default=None
        Limits on size, number and time of requests. None means the defaults of `Limits`.

    Returns
    -------
    app : ASGI application
        Application for any ASGI server, to be run in one process. The detector is loaded.

    Raises
    ------
    ModelFileError
        If the file is not a detector.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> from detectorkit.serve import create_app
    >>> app = create_app("hog-svm", n_jobs=1)  # uvicorn.run(app) serves it
    """
    limits = limits or Limits()
    engine = Engine(model, n_jobs=n_jobs, n_pixels=limits.n_pixels)
    service = _Service(engine, limits, count_threads(n_jobs))
    routes = service.routes()
    handlers: Any = {HTTPException: _answer_error, Exception: _answer_failure}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=service.lifespan)
    app.router.redirect_slashes = False  # /predict/ is not found, like any other path
    return Guard(
        app,
        metrics=service.metrics,
        paths={route.path for route in routes},
        token=token,
        loopback_only=loopback_only,
    )


class _Service:
    """The answers, and what they share."""

    def __init__(self, engine: Engine, limits: Limits, n_threads: int) -> None:
        self.metrics = Metrics()
        self._engine = engine
        self._limits = limits
        self._n_threads = n_threads
        self._n_maps = 0
        self._n_bytes = 0

    def routes(self) -> list[Route]:
        """Return the paths and what answers them."""
        page, policy = _read_page()
        get = {
            "/": HTMLResponse(page, headers={"content-security-policy": policy}),
            "/health": JSONResponse({"status": "ok"}),
            "/models": JSONResponse(self._engine.describe()),
            "/card": PlainTextResponse(self._engine.card()),
            "/openapi.json": JSONResponse(describe_api(self._limits)),
        }
        return [
            *(Route(path, _always(answer)) for path, answer in get.items()),
            Route("/metrics", self._show_metrics),
            Route("/predict", self._predict, methods=["POST"]),
            Route("/explain", self._explain, methods=["POST"]),
        ]

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Start and end the threads that work."""
        self._decoders = ThreadPoolExecutor(self._n_threads, thread_name_prefix="decode")
        self._explainers = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._judge: Batcher[ReadyImage] = Batcher(
            self._engine.judge, BATCH, lambda: self.metrics.n_waiting
        )
        # Decoded images may be large, so only a few wait for the detector.
        self._decoded = asyncio.Semaphore(2 * BATCH)
        work = asyncio.create_task(self._judge.work())
        yield
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        for pool in (self._decoders, self._explainers):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _predict(self, request: Request) -> Response:
        if self.metrics.n_waiting >= self._limits.n_waiting:
            raise HTTPException(503, "too many requests are waiting.", _RETRY)
        self.metrics.n_waiting += 1
        try:
            async with self._upload(request, self._limits.seconds) as (data, name), self._decoded:
                image = await self._in_thread(self._decoders, self._engine.prepare, data)
                row = await self._judge(image)
        finally:
            self.metrics.n_waiting -= 1
        self.metrics.images[row["verdict"]] += 1
        return JSONResponse(to_plain({"path": name} | row))

    async def _explain(self, request: Request) -> Response:
        if self._n_maps >= self._limits.n_maps_waiting:
            raise HTTPException(503, "too many requests for maps are waiting.", _RETRY)
        self._n_maps += 1
        seconds = self._limits.seconds_of_map
        deadline = time.monotonic() + seconds
        try:
            async with self._upload(request, seconds) as (data, _):
                explain = self._engine.explain
                png = await self._in_thread(self._explainers, explain, data, deadline)
        finally:
            self._n_maps -= 1
        return Response(png, media_type="image/png")

    @asynccontextmanager
    async def _upload(
        self, request: Request, seconds: float
    ) -> AsyncIterator[tuple[bytes, str | None]]:
        """Read the picture of a request, for a block that must end in time."""
        upload = Upload(request.headers.get("content-type", ""))
        n_bytes = 0
        try:
            async with asyncio.timeout(seconds):
                async for chunk in self._chunks(request):
                    n_bytes += len(chunk)
                    self._n_bytes += len(chunk)
                    self._check_bytes(n_bytes)
                    upload.add(chunk)
                data = upload.finish()
                if read_format(data[:_N_START]) is None:
                    raise HTTPException(415, f"this is not an {FORMATS} image.")
                yield data, upload.name
        except TimeoutError as error:
            text = f"no answer within {seconds:g} seconds."
            raise HTTPException(503, text, _RETRY) from error
        except ClientDisconnect as error:
            raise HTTPException(400, "the request was not sent to its end.") from error
        except ImageReadError as error:
            is_large = error.reason.endswith(TRUST_HINT)
            reason = error.reason.removesuffix(TRUST_HINT)
            raise HTTPException(413 if is_large else 422, reason) from error
        finally:
            self._n_bytes -= n_bytes

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        announced = request.headers.get("content-length", "")
        if announced.isdecimal():
            self._check_bytes(int(announced[:20]))
        async for chunk in request.stream():
            yield chunk

    def _check_bytes(self, n_bytes: int) -> None:
        if n_bytes > self._limits.n_bytes:
            raise HTTPException(413, f"more than {self._limits.n_bytes} bytes.")
        if self._n_bytes > self._limits.n_bytes_held:
            raise HTTPException(503, "too many bytes are waiting.", _RETRY)

    async def _in_thread(
        self, pool: ThreadPoolExecutor, function: Callable[..., Any], *arguments: Any
    ) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)

    async def _show_metrics(self, _: Request) -> Response:
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return Response(self.metrics.to_text(), media_type=kind)


def _always(answer: Response) -> Callable[[Request], Any]:
    async def respond(_: Request) -> Response:
        return answer

    return respond


def _read_page() -> tuple[str, str]:
    """Read the page, and make a policy by which its own script and style alone may run."""
    page = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    sources = {}
    for name in ("script", "style"):
        (text,) = re.findall(rf"<{name}>(.*?)</{name}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        sources[name] = f"{name}-src 'sha256-{digest}'"
    return page, (
        f"default-src 'none'; {sources['script']}; {sources['style']}; img-src blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


async def _answer_error(_: Request, error: Any) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _answer_failure(_: Request, error: Exception) -> Response:
    del error  # the server logs it; nothing of it leaves the machine
    return JSONResponse({"error": "the server failed on this request."}, 500)
