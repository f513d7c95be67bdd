"""Programs with loops and branches: what stands in a body is read like everything else, in all three formats."""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np
import pytest

from ptocr.convert.formats import pdmodel, pir
from ptocr.convert.formats.onnx_graph import read_onnx
from ptocr.errors import WeightsError
from tests.convert.tiny import DATA

LOOP = [
    ("conv", (4, 3, 1, 1), {"conv2d_0.w_0", "conv2d_0.b_0"}, []),
    ("matmul", (4, 12), {"gru_cell_0.w_0", "gru_cell_0.b_0"}, [0]),  # after a branch that holds no weights
    ("matmul", (4, 12), {"gru_cell_0.w_1", "gru_cell_0.b_1"}, []),  # the first turn starts from zeros
    ("matmul", (4, 5), {"linear_0.w_0", "linear_0.b_0"}, [1, 2]),
]


def unpacked(name: str) -> bytes:
    return gzip.decompress((DATA / name).read_bytes())


def test_a_while_of_pir() -> None:
    graph, shapes = pir.read_program("inference.json", unpacked("loop.json.gz"))
    assert [(n.kind, n.shape, set(n.tensors.values()), sorted(n.inputs)) for n in graph.nodes] == LOOP
    assert len(shapes) == 8


@pytest.mark.parametrize("change", ["pylayer", "yield"])
def test_unknown_bodies_of_pir_are_an_error(change: str) -> None:
    program = json.loads(unpacked("loop.json.gz"))
    loop = next(op for op in program["program"]["regions"][0]["blocks"][0]["ops"] if op["#"].endswith(".while"))
    if change == "pylayer":
        loop["#"] = "1.pylayer"
    else:
        loop["regions"][0]["blocks"][0]["ops"].pop()
    with pytest.raises(WeightsError, match=r"inference\.json.*body"):
        pir.read_program("inference.json", json.dumps(program).encode())


def test_a_while_of_pdmodel() -> None:
    """The published program of SLANet_plus: a loop, in it a branch."""
    graph, shapes = pdmodel.read_program("inference.pdmodel", unpacked("slanet_plus.pdmodel.gz"))
    used = {name for node in graph.nodes for name in node.tensors.values()}
    assert used == set(shapes) and len(used) == 389
    assert [node.shape for node in graph.nodes[-9:]] == [
        (96, 256), (256, 256), (256, 1), (146, 768), (256, 768), (256, 256), (256, 50), (256, 256), (256, 8),
    ]  # fmt: skip
    last = len(graph.nodes) - 1
    assert graph.nodes[-1].inputs == {last - 1} and graph.nodes[-4].inputs == {last - 5, last - 4}


def test_unknown_bodies_of_pdmodel_are_an_error() -> None:
    data = unpacked("slanet_plus.pdmodel.gz")
    assert data.count(b"\x1a\x05while") == 1  # OpDesc.type
    with pytest.raises(WeightsError, match=r"inference\.pdmodel.*the body of 'whole' cannot be read"):
        pdmodel.read_program("inference.pdmodel", data.replace(b"\x1a\x05while", b"\x1a\x05whole"))


# ---------------------------------------------------------------------------------------------------------------- ONNX

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def value(name: str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def body(nodes: list[Any], inputs: list[str], outputs: list[str], own: dict[str, np.ndarray] | None = None) -> Any:
    tensors = [numpy_helper.from_array(array, name) for name, array in (own or {}).items()]
    return helper.make_graph(nodes, "body", [value(n) for n in inputs], [value(n) for n in outputs], tensors)


def file(nodes: list[Any], **constants: np.ndarray) -> bytes:
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], tensors)
    return helper.make_model(graph).SerializeToString()


W, V, U = np.full((4, 4), 1, np.float32), np.full((4, 5), 2, np.float32), np.full((5, 4), 3, np.float32)


def test_a_loop_of_onnx_carries_weights_and_holds_its_own() -> None:
    """`w` goes around the loop under another name, which an outer value has as well; `v` is the body's own."""
    nodes = [
        helper.make_node("MatMul", ["a", "h"], ["s"]),
        helper.make_node("MatMul", ["s", "v"], ["t"]),
        helper.make_node("MatMul", ["t", "u"], ["a"]),
    ]
    loop = helper.make_node("Loop", ["", "", "h", "w"], ["y", "w2"],
                            body=body(nodes, ["i", "c", "a", "h"], ["c", "a", "h"], {"v": V}))  # fmt: skip
    first = helper.make_node("MatMul", ["x", "w"], ["h"])
    after = helper.make_node("MatMul", ["y", "w2"], ["z"])
    found = read_onnx("file.onnx", file([first, loop, after], w=W, u=U))
    assert [(n.shape, sorted(n.inputs)) for n in found.graph.nodes] == [
        ((4, 4), []), ((4, 4), [0]), ((4, 5), [1]), ((5, 4), [2]), ((4, 4), [3]),
    ]  # fmt: skip
    values = [found.tensors[n.tensors["weight"]].flat[0] for n in found.graph.nodes]
    assert values == [1, 1, 2, 3, 1]


def test_both_branches_of_onnx() -> None:
    left = body([helper.make_node("MatMul", ["x", "w"], ["l"])], [], ["l"])
    right = body([helper.make_node("MatMul", ["x", "b"], ["r"])], [], ["r"], {"b": W + 1})
    choice = helper.make_node("If", ["c"], ["y"], then_branch=left, else_branch=right)
    found = read_onnx("file.onnx", file([choice, helper.make_node("MatMul", ["y", "v"], ["z"])], w=W, v=V))
    assert [sorted(n.inputs) for n in found.graph.nodes] == [[], [], [0, 1]]


def test_bodies_that_cannot_be_read_are_an_error() -> None:
    product = body([helper.make_node("MatMul", ["a", "w"], ["b"])], ["a"], ["b"])
    scan = helper.make_node("Scan", ["x"], ["y"], body=product, num_scan_inputs=1)
    with pytest.raises(WeightsError, match=r"file\.onnx.*bodies of Scan cannot be read"):
        read_onnx("file.onnx", file([scan], w=W))
    short = helper.make_node("Loop", ["", "", "x"], ["y"], body=product)
    with pytest.raises(WeightsError, match=r"file\.onnx.*Loop"):
        read_onnx("file.onnx", file([short], w=W))
