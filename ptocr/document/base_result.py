"""What all results share: PaddleX 3.x's mapping interface, JSON, file names, and values in its types.

File names follow `paddlex/inference/common/result`.
"""

from __future__ import annotations

import itertools
import json
import mimetypes
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image

from ptocr.document import draw
from ptocr.files import Claims, write_atomic

_UNNAMED = itertools.count(1)

_CLAIMS = Claims()


@dataclass(kw_only=True, eq=False)
class Result(Mapping[str, Any]):
    """What all results share: mapping access, `json`, `img`, `print` and saving.

    input_path: as the user gave it, None for pictures from memory. page_index: 0-based, None for single pictures.
    image: the BGR picture that was read, held by reference; not part of the output.
    """

    _more: ClassVar[tuple[str, ...]] = ("image", "timings")  # reachable by key, though not among PaddleX's fields

    input_path: str | None = None
    page_index: int | None = None
    image: np.ndarray | None = field(default=None, repr=False)
    timings: dict[str, float] = field(default_factory=dict, repr=False)
    _unnamed: str | None = field(default=None, init=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The fields that PaddleX has, in its order, arrays as arrays."""
        raise NotImplementedError

    # ---- mapping ----

    def __getitem__(self, key: str) -> Any:
        data = self.to_dict()
        if key in data:
            return data[key]
        if key in self._more:
            return getattr(self, key)
        raise KeyError(f"{key!r}; this result has {', '.join(data)}")

    def __contains__(self, key: object) -> bool:
        return key in self.to_dict()

    def __iter__(self) -> Iterator[str]:
        return iter(self.to_dict())

    def __len__(self) -> int:
        return len(self.to_dict())

    __eq__, __hash__ = object.__eq__, object.__hash__  # arrays field by field have no single answer

    # ---- output ----

    @property
    def json(self) -> dict[str, dict[str, Any]]:
        """`{"res": {...}}` of plain lists, numbers and strings."""
        return {"res": to_plain(self.to_dict())}

    @property
    def img(self) -> dict[str, Image.Image]:
        """Pictures of the result, drawn now. Needs the picture that was read."""
        raise NotImplementedError

    def print(self, format_json: bool = True, indent: int = 4, ensure_ascii: bool = False) -> None:
        """Write the result to standard output, as JSON or (`format_json=False`) as a dict with shortened arrays."""
        if format_json:
            text = json.dumps(self.json, indent=indent, ensure_ascii=ensure_ascii)
        else:
            with np.printoptions(threshold=1, edgeitems=1):
                text = str({"res": stacked(self.to_dict())})
        sys.stdout.write(text + "\n")

    def save_to_json(self, save_path: str | PurePath, indent: int | None = 4, ensure_ascii: bool = False) -> Path:
        """Write the fields to `save_path` if that ends in .json, else to `save_path/{name}_res.json`; return that."""
        content = json.dumps(self.json["res"], indent=indent, ensure_ascii=ensure_ascii)
        path = Path(save_path)
        if path.suffix.lower() != ".json":
            path = _CLAIMS.claim(path, self.stem(), "_res.json", self._identity())
        write_atomic(path, content.encode("utf-8", errors="surrogatepass" if ensure_ascii else "replace"))
        return path

    def save_to_img(self, save_path: str | PurePath) -> list[Path]:
        """Write the pictures of `img` to `save_path` if that is a picture's name, else to
        `save_path/{name}_{key}{suffix of the input}`; returns the files. With a file name and several pictures the
        first (the result itself) gets that name and the others `{stem}_{key}{suffix}` beside it.
        """
        target, written = Path(save_path), []
        for number, (key, picture) in enumerate(self.img.items()):
            if not _is_picture_name(target):
                path = _CLAIMS.claim(target, self.stem(), f"_{key}{self._picture_suffix()}", self._identity())
            else:
                path = target if number == 0 else target.with_name(f"{target.stem}_{key}{target.suffix}")
            write_atomic(path, draw.encode(picture, path.suffix))
            written.append(path)
        return written

    def save_all(self, save_path: str | PurePath) -> list[Path]:
        """Write every file that the result has into the folder `save_path`; returns them."""
        return [self.save_to_json(save_path), *self.save_to_img(save_path)]

    # ---- file names ----

    def file_name(self) -> PurePath:
        """The input's name without its folder; one made up for a picture from memory."""
        if self.input_path is None:
            if self._unnamed is None:
                self._unnamed = f"{int(time.time())}_{next(_UNNAMED):04d}"
            return PurePath(self._unnamed)
        path = self.input_path
        if path.lower().startswith(("http://", "https://")):
            path = unquote(urlsplit(path).path).rstrip("/") or "page"
        return PurePath(PurePath(path).name)

    def stem(self) -> str:
        """The start of the names of files for this result: the input's name, and the number of the page."""
        stem = self.file_name().stem
        return stem if self.page_index is None else f"{stem}_{self.page_index}"

    def _picture_suffix(self) -> str:
        suffix = self.file_name().suffix
        return suffix if _is_picture_name(PurePath("x" + suffix)) else ".png"

    def _identity(self) -> str:
        where = self.stem() if self.input_path is None else str(self.input_path)
        if self.input_path is not None and "://" not in where:
            where = str(Path(where).absolute())
        return f"{where}#{self.page_index}"


def _is_picture_name(path: PurePath) -> bool:
    kind, _ = mimetypes.guess_type(path.name)
    return kind is not None and kind.startswith("image/") and draw.can_encode(path.suffix)


def need_image(result: Result) -> np.ndarray:
    if result.image is None:
        raise ValueError(f"{type(result).__name__} of {result.input_path}: holds no picture to draw on")
    return result.image


# ---- values in PaddleX's types ----


def to_plain(value: Any) -> Any:
    """Arrays, NumPy numbers, tuples and paths -> what `json` can write; NaN never occurs in results."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def point_array(points: Any) -> np.ndarray:
    """Points as integers: int16 like PaddleX where they fit, int32 on pages beyond 32767 pixels. Floats are rounded."""
    array = np.asarray(points)
    if np.issubdtype(array.dtype, np.floating):
        array = np.rint(array)
    fits = array.size == 0 or (array.min() >= -32768 and array.max() <= 32767)
    return array.astype(np.int16 if fits else np.int32)


def boxes_of(polys: list[np.ndarray]) -> np.ndarray:
    """Polygons, each (n, 2) -> upright boxes (len(polys), 4): x_min, y_min, x_max, y_max."""
    if not polys:
        return np.zeros((0, 4), np.int16)
    return point_array([[*np.min(poly, axis=0), *np.max(poly, axis=0)] for poly in polys])


def stacked(data: dict[str, Any]) -> dict[str, Any]:
    """Lists of arrays of one shape as one array: shorter to print."""
    out = {}
    for key, value in data.items():
        if isinstance(value, list) and value and all(isinstance(item, np.ndarray) for item in value):
            same = len({item.shape for item in value}) == 1
            value = np.array(value) if same else value
        elif key in ("rec_scores", "dt_scores", "textline_orientation_angles"):
            value = np.array(value)
        out[key] = value
    return out
