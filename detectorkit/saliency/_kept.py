"""A small cache for what explainers derive from a graph: sessions and lists of layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

__all__ = ["Kept", "KeptMixin"]

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")

_MOST: Final = 8


class Kept:
    """A cache of results for one graph, emptied when the graph is another one."""

    def __init__(self) -> None:
        self._content = b""
        self._made: OrderedDict[Any, Any] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._made)

    def make(
        self,
        function: Callable[Concatenate[bytes, Arguments], Made],
        content: bytes,
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Made:
        """Call a function of a graph, or return its earlier result."""
        key = (function, arguments, tuple(named.items()))
        with self._lock:
            # A detector that was fitted again has another content, whatever its class or name.
            if content is not self._content and content != self._content:
                self._made.clear()
            self._content = content
            if key not in self._made:
                self._made[key] = function(content, *arguments, **named)
            self._made.move_to_end(key)
            if len(self._made) > _MOST:
                self._made.popitem(last=False)
            made: Made = self._made[key]
        return made


class KeptMixin:
    """Mixin that holds the cache `Kept` of an explainer, neither cloned nor pickled with it."""

    @property
    def _kept(self) -> Kept:
        kept: Kept = self.__dict__.setdefault("_kept_of_detector", Kept())
        return kept

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment] # may be None for others
        return {name: value for name, value in state.items() if name != "_kept_of_detector"}
