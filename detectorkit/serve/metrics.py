"""Counts and times of requests, in the text format of Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Final

__all__ = ["Metrics"]

_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds


class Metrics:
    """Counts and times of requests; all methods run in the thread of the event loop."""

    def __init__(self) -> None:
        self.n_waiting = 0
        self.images: Counter[str] = Counter()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0

    def count(self, path: str, status: int, seconds: float) -> None:
        """Count an answer; the times are those of verdicts."""
        self._requests[path, status] += 1
        if path == "/predict":
            self._buckets[bisect_left(_BOUNDS, seconds)] += 1
            self._seconds += seconds

    def to_text(self) -> str:
        """Write all in the text format of Prometheus."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "# HELP detectorkit_requests_total Answers by path and status."
        yield "# TYPE detectorkit_requests_total counter"
        for (path, status), n in sorted(self._requests.items()):
            yield f'detectorkit_requests_total{{path="{path}",status="{status}"}} {n}'
        yield "# HELP detectorkit_predict_seconds Time from a request for a verdict to its answer."
        yield "# TYPE detectorkit_predict_seconds histogram"
        total = 0
        for bound, n in zip((*map(str, _BOUNDS), "+Inf"), self._buckets, strict=True):
            total += n
            yield f'detectorkit_predict_seconds_bucket{{le="{bound}"}} {total}'
        yield f"detectorkit_predict_seconds_sum {self._seconds:.6f}"
        yield f"detectorkit_predict_seconds_count {total}"
        yield "# HELP detectorkit_waiting Requests that are being answered or wait for it."
        yield "# TYPE detectorkit_waiting gauge"
        yield f"detectorkit_waiting {self.n_waiting}"
        yield "# HELP detectorkit_images_total Images that were judged, by verdict."
        yield "# TYPE detectorkit_images_total counter"
        for verdict, n in sorted(self.images.items()):
            yield f'detectorkit_images_total{{verdict="{verdict}"}} {n}'
