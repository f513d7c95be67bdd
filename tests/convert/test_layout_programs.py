"""Programs that PaddleDetection exports: anchors and bins in them are no parameters, and attention uses parts of one.

tests/data/make_layout_programs.py made the files.
"""

from __future__ import annotations

import copy
import gzip

import numpy as np
import pytest

from ptocr.convert.align import align, transfer
from ptocr.convert.fingerprint import deploy_graph, layout
from ptocr.convert.formats import pir
from ptocr.convert.formats.paddle_graph import is_constant
from ptocr.convert.graph import without_parts
from ptocr.convert.pieces import Piece, joined, piece_of, with_pieces
from ptocr.errors import WeightsError
from ptocr.spec.model import load_spec
from tests.convert.tiny import DATA


@pytest.mark.parametrize("name", ["PP-DocLayout-S", "PP-DocLayout-L"])
def test_every_tensor_has_its_place(name: str) -> None:
    spec = load_spec(name)
    graph, shapes = pir.read_program("inference.json", gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))
    constants = {tensor for tensor in shapes if is_constant(tensor)}
    assert len(constants) == {"PP-DocLayout-S": 3, "PP-DocLayout-L": 3}[name]
    network, ours = deploy_graph(spec, spec.classes)
    wanted = layout(network)
    zero = np.zeros((), np.float32)
    tensors = {tensor: np.broadcast_to(zero, shape) for tensor, shape in shapes.items() if tensor not in constants}
    used = {tensor for node in graph.nodes for tensor in node.tensors.values()}
    tensors = with_pieces(tensors, used)
    assert set(tensors) == used
    keys = {key: wanted[key.replace("running_mean", "_mean").replace("running_var", "_variance")]
            for key in network.state_dict() if not key.endswith("num_batches_tracked")}  # fmt: skip
    parts = {tensor for node in ours.nodes for tensor in node.tensors.values() if piece_of(tensor)}
    pieces = {str(p): p.shape_in(keys[p.whole]) for p in map(piece_of, parts) if p is not None}
    state = joined(transfer(align(graph, ours, "inference.json", name), tensors, keys | pieces, "here"), keys)
    assert set(state) == set(keys)


def test_pieces_are_put_together_again() -> None:
    whole = np.arange(24.0).reshape(2, 12)
    names = [str(Piece("a[0].w", 1, start, start + 4)) for start in (8, 0, 4)]
    cut = with_pieces({"a[0].w": whole, "b": whole}, names)
    assert set(cut) == {*names, "b"} and cut[names[0]].shape == Piece("", 1, 8, 12).shape_in((2, 12))
    np.testing.assert_array_equal(joined(cut, {"a[0].w": (2, 12)})["a[0].w"], whole)
    assert "a[0].w" in with_pieces({"a[0].w": whole}, names[:2]), "a part that nothing uses must not vanish"


def test_a_head_for_training_alone_is_left_out() -> None:
    """UVDoc as its authors export it: folded batch norms have no names, what stands behind them has."""
    _, graph = deploy_graph(load_spec("UVDoc"), None)
    plain = copy.deepcopy(graph)
    features = next(index for index, node in enumerate(graph.nodes) if node.shape == (128, 768, 1, 1))
    graph.made_by.clear()
    graph.frontier["features"] = frozenset({features})
    graph.weighted("conv", (32, 128, 5, 5), {"weight": "onnx::Conv_680"}, ["features"], "a")
    graph.weighted("prelu", (1,), {"weight": "/out_point_positions3D/out_point_positions3D.2/Unsqueeze"}, ["a"], "b")
    graph.weighted("conv", (3, 32, 5, 5), {"weight": "out_point_positions3D.3.weight"}, ["b"], "c")
    assert without_parts(graph, ["out_point_positions3D"]).nodes == plain.nodes
    assert without_parts(plain, ["out_point_positions3D"]).nodes == plain.nodes


def test_other_cuts_are_an_error() -> None:
    data = gzip.decompress((DATA / "PP-DocLayout-L.json.gz").read_bytes())
    odd = data.replace(b'"AT":{"#":"0.a_array","D":[{"#":"0.a_i64","D":1}]},"N":"axes"',
                       b'"AT":{"#":"0.a_array","D":[]},"N":"axes"')  # fmt: skip
    assert odd != data
    with pytest.raises(WeightsError, match=r"in_proj|cut in a way"):
        pir.read_program("inference.json", odd)
