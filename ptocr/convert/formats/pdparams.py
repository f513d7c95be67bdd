"""`.pdparams`: a pickle of {name: array}. Nothing but numpy arrays and plain containers is let in; nothing runs."""

from __future__ import annotations

import codecs
import collections
import pickle
import pickletools
from typing import Any, BinaryIO

import numpy as np

from ptocr.convert.formats.pdiparams import as_float32
from ptocr.errors import WeightsError

BOOKKEEPING = {"StructuredToParameterName@@"}
SPLIT = "UnpackBigParamInfor@@"
# opcodes that reach objects in other ways than by a checked name
REFUSED = {"EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "INST", "OBJ", "NEXT_BUFFER", "READONLY_BUFFER"}
OPTIMISER = ("_moment1_0", "_moment2_0", "_moment2_max_0", "_beta1_pow_acc_0", "_beta2_pow_acc_0", "_velocity_0")
OPTIMISER_KEYS = {"LR_Scheduler", "master_weights"}


def _reconstruct(kind: type, shape: tuple[int, ...], code: Any) -> np.ndarray:
    """numpy's way to make an empty array that the pickle then fills."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError(f"array of type {kind!r}")
    return np.ndarray.__new__(np.ndarray, shape, code)


def _frombuffer(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: np.dtype[Any], data: bytes) -> Any:
    if dtype.hasobject:
        raise pickle.UnpicklingError("scalar of objects")
    return np.frombuffer(data, dtype, 1)[0]


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
    return codecs.encode(text, "latin1")


ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("_codecs", "encode"): _encode,
    ("builtins", "tuple"): tuple,
    ("__builtin__", "tuple"): tuple,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
}


class _Refused(Exception):
    """Something the file wants and does not get."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise _Refused(f"{module}.{name}")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused(f"a persistent object {pid!r}")


def load(where: str, stream: BinaryIO) -> Any:
    """The object of a pickle file.

    Raises:
        WeightsError: the file wants anything beyond arrays and plain containers, or is damaged; names file and wish.
    """
    try:
        _check_opcodes(stream)
        stream.seek(0)
        return _Unpickler(stream, encoding="latin1").load()
    except _Refused as error:
        raise WeightsError(
            f"{where}: refused, the file wants {error} and weights need only arrays and plain containers; "
            "nothing of it was run. Do not use this file; fetch the official one"
        ) from None
    except Exception as error:  # damaged pickles raise nearly every kind of exception
        reason = str(error).strip()[:200] or type(error).__name__
        raise WeightsError(
            f"{where}: not a readable .pdparams file ({reason}); it is damaged, fetch it again"
        ) from None


def _check_opcodes(stream: BinaryIO) -> None:
    for opcode, _, _ in pickletools.genops(stream):
        if opcode.name in REFUSED:
            raise _Refused(f"the pickle operation {opcode.name}")


def read_pdparams(where: str, stream: BinaryIO) -> tuple[dict[str, np.ndarray], list[str]]:
    """Structured name -> float32 array, and notes on what was left out.

    Raises:
        WeightsError: not a state dict, or see `load`.
    """
    content = load(where, stream)
    if not isinstance(content, dict):
        raise WeightsError(
            f"{where}: holds a {type(content).__name__}, not a state dict; give a .pdparams file of weights"
        )
    if SPLIT in content:
        raise WeightsError(f"{where}: its tensors are stored in slices of over 1 GB, which no model of ptocr needs")
    arrays: dict[str, np.ndarray] = {}
    dropped = []
    for key, value in content.items():
        if key in BOOKKEEPING:
            continue
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], np.ndarray):
            value = value[1]  # (internal name, array), as older versions of Paddle write tensors
        if key in OPTIMISER_KEYS or (isinstance(key, str) and key.endswith(OPTIMISER)):
            dropped.append(key)
        elif not isinstance(key, str) or not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
            raise WeightsError(
                f"{where}: entry {key!r} is a {type(value).__name__}, not an array; not a file of weights"
            )
        else:
            arrays[key] = _float32(value)
    if not arrays:
        what = "optimiser state only (.pdopt)" if dropped else "no tensors"
        raise WeightsError(f"{where}: holds {what}; give the model's .pdparams")
    return arrays, [f"{len(dropped)} optimiser entries left out"] if dropped else []


def _float32(array: np.ndarray) -> np.ndarray:
    # Paddle stores bfloat16 as its raw bits, and no layer has parameters of type uint16
    return as_float32(array, "bfloat16" if array.dtype == np.uint16 else "")
