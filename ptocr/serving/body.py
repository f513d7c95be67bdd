"""Bodies of requests: read within limits of size, time and memory, and taken apart by what they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from pydantic import ValidationError

from ptocr.errors import InputError
from ptocr.serving.schemas import OCR, Options, Route

_MULTIPART, _FORM = "multipart/form-data", "application/x-www-form-urlencoded"
_UNTOLD = ("", _FORM, "text/plain")  # what clients say that were not told what they send


class Refused(Exception):
    """A request that gets an error instead of a result. code: HTTP status."""

    def __init__(self, code: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.headers = {} if retry_after is None else {"Retry-After": str(max(1, round(retry_after)))}


@dataclass
class Held:
    """Bytes of all bodies that are in memory, and how many may be."""

    most: int
    bytes: int = 0


@dataclass(frozen=True)
class Body:
    """A request as it came. fields: of the query and of forms; upload: the file of a multipart form."""

    data: bytes
    kind: str = "application/json"
    fields: Mapping[str, str] = field(default_factory=dict)
    upload: bytes | None = None


class Intake:
    """The body of one request, chunk by chunk.

    most: bytes it may have; seconds: within which it must be here; held: what all requests share. Used as the `receive`
    of the request, so that whoever parses it meets the limits. Raises `Refused` 413, 408 and 503.
    """

    def __init__(self, receive: Any, headers: Mapping[str, str], most: int, seconds: float, held: Held) -> None:
        self.receive, self.most, self.held, self.size = receive, most, held, 0
        self.complete = False  # whether all of it has come
        self.until = asyncio.get_running_loop().time() + seconds
        self.seconds = seconds
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            self._too_large()

    async def __call__(self) -> Any:
        """The next message of the connection."""
        try:
            left = self.until - asyncio.get_running_loop().time()
            message = await asyncio.wait_for(self.receive(), max(left, 0.0))
        except (TimeoutError, asyncio.TimeoutError):
            raise Refused(408, f"the body was not here within {self.seconds:g} s") from None
        self.complete = not message.get("more_body", False)
        count = len(message.get("body", b""))
        self.size += count
        self.held.bytes += count
        if self.size > self.most:
            self._too_large()
        if self.held.bytes > self.held.most:
            raise Refused(503, "too many bytes of requests in memory", retry_after=1)
        return message

    def release(self) -> None:
        """The body is no longer in memory."""
        self.held.bytes -= self.size
        self.size = 0

    def _too_large(self) -> NoReturn:
        raise Refused(413, f"the body is larger than the limit of {self.most} bytes")


async def read_body(request: Any) -> Body:
    """The body of a starlette request whose `receive` is an `Intake`. Multipart forms are taken apart as they come."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    query = dict(request.query_params)
    if kind != _MULTIPART:
        return Body(await request.body(), kind, query)
    async with request.form(max_files=1, max_fields=64, max_part_size=1 << 20) as form:
        uploads = [value for value in form.values() if not isinstance(value, str)]
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        upload = await uploads[0].read() if uploads else None
        return Body(b"", kind, {**query, **fields}, upload)


def parse(body: Body, route: Route = OCR) -> tuple[Options, str | bytes]:
    """What a request asks for, and what it wants read: JSON, a form, a multipart upload, or the file itself with the
    options in the query.

    Raises:
        Refused: 422; names the field.
    """
    try:
        if body.upload is not None:
            return route.options.model_validate(_texts(body.fields)), body.upload
        if body.kind == _MULTIPART:
            request = route.request.model_validate(_texts(body.fields))
        elif body.kind.endswith("json") or (
            body.kind in ("", _FORM, "text/plain") and body.data[:64].lstrip()[:1] == b"{"
        ):
            request = route.request.model_validate({**_texts(body.fields), **_object(body.data)})
        elif body.kind == _FORM:
            from urllib.parse import parse_qsl

            pairs = parse_qsl(body.data.decode("utf-8"), keep_blank_values=True, max_num_fields=64)
            request = route.request.model_validate(_texts({**body.fields, **dict(pairs)}))
        elif not body.data:
            raise Refused(422, "file: the request has no body; send JSON, a form or the file itself")
        else:
            return route.options.model_validate(_texts(body.fields)), body.data
        return request, request.input()
    except ValidationError as error:
        raise Refused(422, explain(error)) from None
    except InputError as error:
        raise Refused(422, str(error)) from None
    except ValueError as error:
        raise Refused(422, f"the body cannot be read: {error}") from None


def explain(error: ValidationError) -> str:
    """'field: what is wrong; ...', without the values."""
    problems = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors(include_url=False)]
    return _printable("; ".join(problems))


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object of finite numbers and whole characters. Raises ValueError."""
    try:
        value = json.loads(data, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("JSON, but not an object")
    return _texts(value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _texts(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields; raises ValueError for halves of characters, which no answer could hold."""
    for name, value in fields.items():
        for text in (name, value):
            if isinstance(text, str):
                try:
                    text.encode("utf-8")
                except UnicodeEncodeError:
                    raise ValueError(f"{_printable(name)}: half a character (a lone surrogate)") from None
    return dict(fields)


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii") if not _whole(text) else text.replace("\n", " ")


def _whole(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)
