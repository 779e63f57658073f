"""The picture in a request, as its body or as the one file of a form; held in memory only."""

from __future__ import annotations

from typing import Any, Final

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

__all__ = ["Upload"]

_FORM: Final = b"multipart/form-data"


class Upload:
    """A picture that comes in pieces.

    Attributes
    ----------
    data : bytearray
        Content of the picture, as far as it has come.
    name : str or None
        Name of its file, if one was given.
    """

    def __init__(self, content_type: str) -> None:
        self.data = bytearray()
        self.name: str | None = None
        kind, options = parse_options_header(content_type)
        if kind.startswith(b"multipart/") and kind != _FORM:
            raise HTTPException(415, f"{kind.decode('latin-1')}: send multipart/form-data.")
        self._form = _Form(self, options.get(b"boundary", b"")) if kind == _FORM else None

    def add(self, chunk: bytes) -> None:
        """Add a piece of the request's body."""
        if self._form is None:
            self.data += chunk
        else:
            self._form.add(chunk)

    def finish(self) -> bytes:
        """Return the picture, after the last piece."""
        if self._form is not None:
            self._form.check()
        if not self.data:
            raise HTTPException(400, "there is no image in the request.")
        return bytes(self.data)


class _Form:
    """A form of which the one part with a file name is kept."""

    def __init__(self, upload: Upload, boundary: bytes) -> None:
        self._upload = upload
        self._disposition = b""  # of a part: the header that says whether it is a file
        self._field, self._value = b"", b""
        self._is_file = self._has_ended = False
        self._n_files = 0
        names = ("part_begin", "part_data", "header_field", "header_value", "header_end")
        callbacks: Any = {f"on_{name}": getattr(self, f"_{name}") for name in names}
        callbacks |= {"on_headers_finished": self._headers_finished, "on_end": self._end}
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except (MultipartParseError, ValueError) as error:
            raise HTTPException(400, "the boundary of the form is missing or damaged.") from error

    def add(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise HTTPException(400, "the form is damaged.") from error

    def check(self) -> None:
        if not self._has_ended:
            raise HTTPException(400, "the form is damaged: its end is missing.")
        if self._n_files != 1:
            text = f"the form has {self._n_files} files. Send one image, with a file name."
            raise HTTPException(422 if self._n_files else 400, text)

    def _part_begin(self) -> None:
        self._disposition = b""
        self._is_file = False

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._is_file = b"filename" in options
        if self._is_file:
            self._n_files += 1
            self._upload.name = options[b"filename"].decode("utf-8", "replace")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file and self._n_files == 1:
            self._upload.data += data[start:end]

    def _end(self) -> None:
        self._has_ended = True
