"""A server of verdicts over HTTP, with a page for people; needs the extra ``serve``.

A request goes through `guard` (who may ask) to `app` (what is asked), `upload` (the picture, in
memory), `engine` (from picture to verdict) and `batching` (several verdicts at a time).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectorkit.utils.lazy import lazy_names

if TYPE_CHECKING:
    from detectorkit.serve.app import create_app
    from detectorkit.serve.limits import Limits

__all__ = ["Limits", "create_app"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {"Limits": "detectorkit.serve.limits", "create_app": "detectorkit.serve.app"},
)
