"""Every name that ptocr uses and torch does not promise to keep, each with the versions of torch it was seen in.

When torch changes, this is the file to look at; `tests/runtime/test_torch_private.py` calls each of them.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def cuda_in_bad_fork() -> bool:
    """Whether this process was forked from one that used CUDA. `torch.cuda._is_in_bad_fork`, 2.13."""
    return torch.cuda._is_in_bad_fork()


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 (AVX-512). `torch.cpu._is_avx512_bf16_supported`, 2.13."""
    return torch.cpu._is_avx512_bf16_supported()


def compile_package(program: torch.export.ExportedProgram, options: dict[str, Any]) -> bytes:
    """AOTInductor: an exported program as a package. `torch._inductor.aoti_compile_and_package`, 2.13.

    options: a copy of it is given away, as torch writes into it. In memory, since torch's writer of files ends the
    process (`std::terminate` in a destructor) where the disk is full.
    """
    package = io.BytesIO()
    torch._inductor.aoti_compile_and_package(program, package_path=package, inductor_configs=dict(options))
    return package.getvalue()


def load_package(path: Path) -> Callable[..., Any]:
    """A package with torch's own runner. `torch._inductor.package.load_package`, 2.13.

    Imports torch's compiler, which takes a second.
    """
    return importlib.import_module("torch._inductor.package").load_package(str(path))


def handles_of(tensors: list[Tensor]) -> list[Any]:
    """C handles (capsules) that own what they point to. `torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors`, 2.13."""
    return torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors(tensors)


def tensors_of(handles: list[Any]) -> list[Tensor]:
    """The tensors of C handles, which are freed. `torch._C._aoti.alloc_tensors_by_stealing_from_void_ptrs`, 2.13."""
    return torch._C._aoti.alloc_tensors_by_stealing_from_void_ptrs(handles)


def has_packed_convolutions(dtype: torch.dtype = torch.float32) -> bool:
    """Whether the operators below compute in a number type here: those that torch's compiler emits for oneDNN,
    2.13. bfloat16 needs a processor with AVX-512."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def packed_weight(
    weight: Tensor, padding: list[int], stride: list[int], dilation: list[int], groups: int, output_padding: Any = None
) -> Tensor:
    """A convolution's weight as oneDNN wants it; of a transposed one where `output_padding` is given."""
    ops = torch.ops.mkldnn
    if output_padding is None:
        return ops._reorder_convolution_weight(weight, padding, stride, dilation, groups)
    return ops._reorder_convolution_transpose_weight(weight, padding, output_padding, stride, dilation, groups)


def packed_convolution() -> Callable[..., Tensor]:
    """(x, weight, bias, padding, stride, dilation, groups, activation, scalars, algorithm) -> y."""
    return torch.ops.mkldnn._convolution_pointwise


def packed_transposed_convolution() -> Callable[..., Tensor]:
    """(x, weight, bias, padding, output_padding, stride, dilation, groups, activation, scalars, algorithm) -> y."""
    return torch.ops.mkldnn._convolution_transpose_pointwise
