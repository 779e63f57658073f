"""Limits of the server, within which every request is answered or refused."""

from __future__ import annotations

from dataclasses import dataclass

from detectorkit.images.decoding import MAX_PIXELS

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Limits of the server.

    Attributes
    ----------
    n_bytes : int, default=50_000_000
        Greatest number of bytes of a request. A longer one is refused with the status 413.
    n_bytes_held : int, default=400_000_000
        Greatest number of bytes of all requests that are held at a time. What would exceed it is
        refused with the status 503.
    n_pixels : int, default=100_000_000
        Greatest number of pixels of an image. A larger one is refused with the status 413, before
        it is decoded.
    n_waiting : int, default=128
        Greatest number of requests for a verdict at a time; more are refused with the status 503.
    n_maps_waiting : int, default=4
        Greatest number of requests for a map at a time, which are worked on one by one.
    seconds : float, default=30
        Time until a verdict, from the first byte of the request to the answer. After that it is
        given up with the status 503.
    seconds_of_map : float, default=60
        The same for a map.
    """

    n_bytes: int = 50_000_000
    n_bytes_held: int = 400_000_000
    n_pixels: int = MAX_PIXELS
    n_waiting: int = 128
    n_maps_waiting: int = 4
    seconds: float = 30
    seconds_of_map: float = 60
