"""Description of the server in OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from detectorkit._version import __version__
from detectorkit.calibration.decision import VERDICTS
from detectorkit.serve.limits import Limits

__all__ = ["describe_api"]


def describe_api(limits: Limits) -> dict[str, Any]:
    """Describe all paths, what they take and what they answer."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "detectorkit serve",
            "version": __version__,
            "description": "Tells whether pictures are photographs or AI-generated images. "
            "Nothing is stored.",
        },
        "paths": {
            "/": _get("The page for people.", "text/html"),
            "/predict": _post("Judge an image.", "application/json", _VERDICT, limits),
            "/explain": _post("Draw where the score comes from.", "image/png", _BINARY, limits),
            "/models": _get("Describe the model.", "application/json", {"type": "object"}),
            "/card": _get("The model card: data, figures, limits, licence.", "text/plain"),
            "/openapi.json": _get("This description.", "application/json", {"type": "object"}),
            "/health": _get("Whether the server answers.", "application/json", {"type": "object"}),
            "/metrics": _get("Counts and times, for Prometheus.", "text/plain"),
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


_TEXT: dict[str, Any] = {"type": "string"}
_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
_NUMBER: dict[str, Any] = {"type": "number"}
_BAND = {
    "type": ["object", "null"],
    "required": ["low", "high"],
    "properties": {"low": _NUMBER, "high": _NUMBER},
}
_VERDICT = {
    "type": "object",
    "required": ["verdict", "probability", "score", "threshold", "model", "treatment"],
    "properties": {
        "path": {"type": ["string", "null"], "description": "Name of the file, if one was sent."},
        "verdict": {"enum": list(VERDICTS)},
        "unfit": {
            "type": ["string", "null"],
            "description": "Why the image cannot be judged, and the verdict is can't tell.",
        },
        "label": {"description": "Label by the threshold alone; 0 is real and 1 generated."},
        "probability": {**_NUMBER, "minimum": 0, "maximum": 1},
        "score": _NUMBER,
        "threshold": _NUMBER,
        "band": {**_BAND, "description": "Scores between which the verdict is can't tell."},
        "model": _TEXT,
        "treatment": _TEXT,
        "provenance": {"type": "object", "description": "What the file says of itself."},
        "says": {"type": "array", "items": _TEXT, "description": "The same, in lines of text."},
    },
}
_FORM = {"type": "object", "required": ["image"], "properties": {"image": _BINARY}}
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": _TEXT}}
_REASONS = {
    "400": "Malformed or empty request, or the wrong host.",
    "401": "The token is missing or wrong.",
    "403": "The request comes from a page of another server.",
}


def _get(summary: str, kind: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = {"description": summary, "content": {kind: {"schema": schema or _TEXT}}}
    return {"get": {"summary": summary, "responses": {"200": answer} | _errors(_REASONS)}}


def _post(
    summary: str, kind: str, schema: dict[str, Any], limits: Limits
) -> dict[str, dict[str, Any]]:
    reasons = _REASONS | {
        "413": f"More than {limits.n_bytes} bytes or {limits.n_pixels} pixels.",
        "415": "Not an image of a format that is read.",
        "422": "A damaged image, or several.",
        "503": "Too many requests, or too slow; try again.",
    }
    content = {
        "application/octet-stream": {"schema": _BINARY},
        "image/*": {"schema": _BINARY},
        "multipart/form-data": {"schema": _FORM},
    }
    answer = {"description": summary, "content": {kind: {"schema": schema}}}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": content},
            "responses": {"200": answer} | _errors(reasons),
        }
    }


def _errors(reasons: dict[str, str]) -> dict[str, Any]:
    content = {"application/json": {"schema": _ERROR}}
    return {status: {"description": text, "content": content} for status, text in reasons.items()}
