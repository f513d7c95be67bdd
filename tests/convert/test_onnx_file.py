"""Our reader of ONNX files against the `onnx` package, and on files that are damaged, hostile or beyond it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptocr.convert.formats.onnx_file import DTYPES, OnnxGraph, read_model
from ptocr.convert.formats.onnx_graph import read_onnx
from ptocr.errors import WeightsError
from ptocr.spec.model import WeightSource, list_specs, load_spec
from ptocr.weights import fetch

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RANDOM = np.random.RandomState(0)


def onnx_sources() -> list[Any]:
    """Every ONNX file that a spec takes from the package index."""
    rows = {}
    for name in list_specs():
        for source in load_spec(name).sources:
            if source.kind == "pip" and source.format == "onnx":
                rows[source.location, source.member] = pytest.param(source, id=name)
    return list(rows.values())


def plain(proto: Any) -> Any:
    """An attribute as the onnx package reads it, in our types."""
    value = helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return [v.decode() if isinstance(v, bytes) else v for v in value] if hasattr(value, "__iter__") else value


def assert_same(ours: OnnxGraph, theirs: Any) -> None:
    assert list(ours.initializers) == [t.name for t in theirs.initializer]
    for tensor in theirs.initializer:
        np.testing.assert_array_equal(ours.initializers[tensor.name], numpy_helper.to_array(tensor), strict=True)
    assert len(ours.operations) == len(theirs.node)
    for operation, node in zip(ours.operations, theirs.node, strict=True):
        assert (operation.kind, operation.inputs, operation.outputs) == (node.op_type, [*node.input], [*node.output])
        wanted = {a.name: plain(a) for a in node.attribute if not a.HasField("g") and not a.graphs}
        assert set(operation.attributes) == set(wanted)
        for name, value in wanted.items():
            np.testing.assert_array_equal(operation.attributes[name], value)
        bodies = [a.g for a in node.attribute if a.HasField("g")]
        for body, other in zip(operation.bodies, bodies, strict=True):
            assert_same(body, other)


@pytest.mark.net
@pytest.mark.parametrize("source", onnx_sources())
def test_real_files_read_as_by_the_onnx_package(source: WeightSource, tmp_path: Path) -> None:
    try:
        data = fetch.fetch(source, tmp_path).read_bytes()
    except WeightsError as error:
        stop = pytest.fail if os.environ.get("PTOCR_REQUIRE_WEIGHTS") == "1" else pytest.skip
        stop(str(error))
    theirs = onnx.load_model_from_string(data)
    ours, metadata = read_model(data)
    assert_same(ours, theirs.graph)
    assert metadata == {entry.key: entry.value for entry in theirs.metadata_props}


# --------------------------------------------------------------------------------------------------------- every field


def serialized(nodes: list[Any], tensors: list[Any]) -> bytes:
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, None)  # noqa: E731
    return helper.make_model(helper.make_graph(nodes, "g", [value("x")], [value("y")], tensors)).SerializeToString()


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("code", [code for code in DTYPES if code != TensorProto.BFLOAT16])
@pytest.mark.parametrize("shape", [(), (3, 2), (0, 4)])
def test_every_data_type(code: int, raw: bool, shape: tuple[int, ...]) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(code)
    values = np.asarray(RANDOM.uniform(-100, 100, shape)).astype(np.int64 if dtype.kind != "f" else dtype).astype(dtype)
    if dtype.kind in "iu" and values.size:
        limits = np.iinfo(dtype)
        values.flat[0], values.flat[-1] = limits.min, limits.max
    tensor = helper.make_tensor("t", code, shape, values.tobytes() if raw else values.reshape(-1).tolist(), raw=raw)
    ours, _ = read_model(serialized([helper.make_node("Relu", ["x"], ["y"])], [tensor]))
    np.testing.assert_array_equal(ours.initializers["t"], numpy_helper.to_array(tensor), strict=True)


@pytest.mark.parametrize("raw", [False, True])
def test_bfloat16_becomes_float32(raw: bool) -> None:
    tensor = helper.make_tensor("t", TensorProto.BFLOAT16, (2,), b"\x80\x3f\x00\xc0" if raw else [1.0, -2.0], raw=raw)
    ours, _ = read_model(serialized([], [tensor]))
    np.testing.assert_array_equal(ours.initializers["t"], np.array([1, -2], np.float32), strict=True)


def test_every_kind_of_attribute() -> None:
    node = helper.make_node(
        "Any", ["x"], ["y"], f=1.5, i=-7, s="name", t=numpy_helper.from_array(np.arange(3)), zero=0, nothing=0.0,
        floats=[0.5, 2.0], ints=[-1, 0, 1 << 40], strings=["a", "b"],
    )  # fmt: skip
    graph = helper.make_graph([node], "g", [], [])
    assert_same(read_model(helper.make_model(graph).SerializeToString())[0], graph)


# ------------------------------------------------------------------------------------------------- loops and branches


def test_bodies_without_end() -> None:
    proto = helper.make_graph([], "g", [], [])
    for _ in range(20):
        proto = helper.make_graph([helper.make_node("If", ["x"], ["y"], then_branch=proto)], "g", [], [])
    with pytest.raises(WeightsError, match="deep"):
        read_onnx("file.onnx", helper.make_model(proto).SerializeToString())


# ------------------------------------------------------------------------------------------------- damage and hostility

CONV = helper.make_node("Conv", ["x", "w"], ["y"])


def weight(**changes: Any) -> Any:
    tensor = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")
    for name, value in changes.items():
        if name == "dims":
            del tensor.dims[:]
            tensor.dims.extend(value)
        else:
            setattr(tensor, name, value)
    return tensor


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (weight(dims=[1 << 40, 1 << 40]), "has 12 values"),
        (weight(dims=[-4, -3, 1, 1]), "not supported"),
        (weight(data_type=TensorProto.STRING), "not supported"),
        (weight(data_type=99), "not supported"),
        (weight(raw_data=b"123"), "ends inside a value"),
        (weight(raw_data=b""), "has 0 values"),
        (weight(data_location=TensorProto.EXTERNAL, raw_data=b""), "stand in another file"),
    ],
)
def test_tensors_that_make_no_sense(tensor: Any, words: str) -> None:
    with pytest.raises(WeightsError, match=r"^file\.onnx: .*" + words):
        read_onnx("file.onnx", serialized([CONV], [tensor]))


def test_sparse_initializers_are_refused() -> None:
    model = onnx.load_model_from_string(serialized([CONV], [weight()]))
    model.graph.sparse_initializer.add().dims.extend([4])
    with pytest.raises(WeightsError, match="sparse"):
        read_onnx("file.onnx", model.SerializeToString())


def test_damage_anywhere_is_an_error_that_names_the_file() -> None:
    """Every cut, and random bytes anywhere: a readable file or a WeightsError, nothing else."""
    out = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    body = helper.make_graph([helper.make_node("Relu", ["c"], ["b"])], "body", [out], [out])
    data = serialized([CONV, helper.make_node("If", ["c"], ["z"], then_branch=body, else_branch=body)], [weight()])
    for size in range(len(data)):
        check(data[:size])
    for _ in range(3000):
        broken = bytearray(data)
        for _ in range(RANDOM.randint(1, 4)):
            broken[RANDOM.randint(len(broken))] = RANDOM.randint(256)
        check(bytes(broken))


def check(data: bytes) -> None:
    try:
        read_onnx("file.onnx", data)
    except WeightsError as error:
        assert re.match(r"file\.onnx: ", str(error))


def test_onnx_package_is_not_needed() -> None:
    """Reading, in an interpreter where `import onnx` fails."""
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "from ptocr.convert.formats.onnx_graph import read_onnx\n"
        "print(*read_onnx('f', sys.stdin.buffer.read()).tensors)"
    )
    data = serialized([CONV], [weight()])
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "w"
