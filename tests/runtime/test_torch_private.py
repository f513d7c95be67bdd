"""Names that torch may change: each is here, and does what ptocr thinks it does. Run this with a new torch first."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from ptocr.runtime import torch_private


def test_questions_have_answers() -> None:
    assert torch_private.cuda_in_bad_fork() is False
    assert torch_private.cpu_has_bfloat16() in (True, False)
    flags = Path("/proc/cpuinfo")
    if flags.exists():
        assert torch_private.cpu_has_bfloat16() == ("avx512_bf16" in flags.read_text())


def test_handles_and_back() -> None:
    """A capsule owns a tensor, and what is made of it is that tensor's memory."""
    tensors = [torch.arange(6.0).reshape(2, 3), torch.tensor([7])]
    back = torch_private.tensors_of(torch_private.handles_of(tensors))
    assert [y.data_ptr() for y in back] == [x.data_ptr() for x in tensors]
    assert all(torch.equal(x, y) for x, y in zip(tensors, back, strict=True))


needs_onednn = pytest.mark.skipif(not torch_private.has_packed_convolutions(), reason="torch without oneDNN")


@needs_onednn
def test_convolution_with_its_activation() -> None:
    x, weight, bias = torch.randn(2, 8, 9, 9), torch.randn(8, 1, 3, 3), torch.randn(8)
    packed = torch_private.packed_weight(weight, [1, 1], [1, 1], [1, 1], 8)
    run = torch_private.packed_convolution()
    got = run(x, packed, bias, [1, 1], [1, 1], [1, 1], 8, "relu", [], "")
    torch.testing.assert_close(got, F.relu(F.conv2d(x, weight, bias, padding=1, groups=8)), rtol=1e-4, atol=1e-5)


@needs_onednn
def test_transposed_convolution_with_its_activation() -> None:
    x, weight, bias = torch.randn(1, 6, 5, 5), torch.randn(6, 4, 2, 2), torch.randn(4)
    packed = torch_private.packed_weight(weight, [0, 0], [2, 2], [1, 1], 1, [0, 0])
    run = torch_private.packed_transposed_convolution()
    got = run(x, packed, bias, [0, 0], [0, 0], [2, 2], [1, 1], 1, "hardswish", [], "")
    want = F.hardswish(F.conv_transpose2d(x, weight, bias, stride=2))
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_package_is_compiled_and_loaded(tmp_path: Path) -> None:
    class Plus(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x + 2 * y

    options = {"freezing": True}
    example = (torch.ones(3), torch.ones(3))
    (tmp_path / "p.pt2").write_bytes(torch_private.compile_package(torch.export.export(Plus(), example), options))
    assert options == {"freezing": True}
    assert torch_private.load_package(tmp_path / "p.pt2")(*example).tolist() == [3.0, 3.0, 3.0]
