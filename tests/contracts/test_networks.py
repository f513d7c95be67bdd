"""What holds for the network of every spec, with random numbers for weights.

What depends on the class count alone is tested for every spec without memory; what must be computed is computed once
per architecture, of which language variants share one.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr import paths
from ptocr.checkpoint import Checkpoint, network_of
from ptocr.errors import SpecError, WeightsError
from ptocr.nn.build import HEADS, NECKS, build_network
from ptocr.nn.fuse import Fusible, Reparam, fuse
from ptocr.nn.network import Head, Neck
from ptocr.spec.model import ModelSpec, list_specs, load_spec, parse_spec
from ptocr.spec.settings import DBPostprocess
from ptocr.spec.tasks import TASKS
from ptocr.spec.vocabulary import LAYOUTS
from ptocr.weights.listing import parameter_table
from tools.parity.synthetic import picture

NAMES = list_specs()
CLASSES = 50  # of the computed recognisers
NORMS = nn.modules.batchnorm._BatchNorm


def architectures() -> list[str]:
    """The first model of every architecture; a spec that does not load stands for itself and fails where it is used."""
    seen: dict[str, str] = {}
    for name in NAMES:
        try:
            key = json.dumps(load_spec(name).architecture, sort_keys=True)
        except SpecError:
            key = name
        seen.setdefault(key, name)
    return list(seen.values())


DISTINCT = architectures()
SEVERAL = ("layout", "table", "e2e", "kie", "formula")
# Networks with several outputs are computed in tests/parity/test_structure_goldens.py and beside it. Of networks for
# lines of one size, which are as large as they are, one is computed: their goldens say the same of all.
COMPUTED = [
    name
    for name in DISTINCT
    if name == "rec_svtrnet_stn" or (load_spec(name).task not in SEVERAL and not load_spec(name).preprocess.fixed)
]


def on_meta(spec: ModelSpec, classes: int | None, train: bool) -> nn.Module:
    with torch.device("meta"):
        return build_network(spec.architecture, classes, train)


def test_blocks_answer_when_asked() -> None:
    for table, base in ((NECKS, Neck), (HEADS, Head)):
        for name, block in table.items():
            assert not isinstance(block, type) or issubclass(block, base), name


@pytest.mark.parametrize("name", NAMES)
def test_spec(name: str) -> None:
    spec = load_spec(name)
    file = paths.configs() / TASKS[spec.task].folder / f"{name}.yaml"
    assert spec.name == name and file.is_file()
    assert parse_spec(spec.model_dump(mode="json"), "dump") == spec
    assert (spec.charset is not None) == (spec.task in ("rec", "e2e", "formula"))
    assert (spec.classes is None) == (spec.task in ("det", "unwarp", "sr"))


@pytest.mark.parametrize("name", NAMES)
def test_classes_and_parameters(name: str) -> None:
    spec = load_spec(name)
    charset = spec.load_charset()
    if charset is not None:
        assert charset.classes == spec.classes == charset.counts[spec.postprocess.name]
        listed = len(LAYOUTS[charset.layout].listed)  # special tokens among the characters
        assert charset.classes > len(charset.characters) - listed
    network = on_meta(spec, spec.classes, train=False)
    counted = sum(parameter.numel() for parameter in network.parameters())
    assert parameter_table()[name] == counted, "python tools/models_table.py writes it anew"
    last = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if spec.task in ("rec", "cls"):
        assert last[-1].out_features in answers(spec, spec.classes)


def answers(spec: ModelSpec, classes: int) -> tuple[int, ...]:
    """How many classes a network may tell apart: decoders that feed back what they read leave out tokens that are
    never read, or (NRTR) count one more."""
    ctc = not spec.row.vocabulary or LAYOUTS[spec.postprocess.name].collapses
    return (classes,) if ctc else tuple(range(classes - 2, classes + 2))


@pytest.mark.parametrize("name", DISTINCT)
def test_tokens_are_the_vocabularys(name: str) -> None:
    """The special tokens that a decoder knows stand where the vocabulary has them."""
    spec = load_spec(name)
    charset = spec.load_charset()
    head = getattr(on_meta(spec, spec.classes, train=False), "head", None)
    tokens = getattr(head, "tokens", {})
    assert tokens == {role: charset.token(role) for role in tokens} if charset else not tokens


@pytest.mark.parametrize("name", DISTINCT)
def test_training_adds_and_changes_nothing(name: str) -> None:
    spec = load_spec(name)
    inference, train = (on_meta(spec, spec.classes, flag).state_dict() for flag in (False, True))
    assert {key: value.shape for key, value in train.items() if key in inference} == {
        key: value.shape for key, value in inference.items()
    }
    guided = isinstance(spec.postprocess, DBPostprocess) or "gtc" in spec.architecture.get("head", {})
    assert not guided or len(train) > len(inference)


@pytest.mark.parametrize("name", DISTINCT)
def test_deploy_form_loads(name: str) -> None:
    spec = load_spec(name)
    with torch.device("meta"):
        state = fuse(build_network(spec.architecture, spec.classes), only=Reparam).state_dict()
    network = network_of(Checkpoint(spec, spec.load_charset(), "deploy", state))
    assert not network.training and set(network.state_dict()) == set(state)


@pytest.mark.parametrize("name", DISTINCT)
def test_checkpoints_load_strictly(name: str) -> None:
    spec = load_spec(name)
    state = on_meta(spec, spec.classes, train=True).state_dict()
    checkpoint = Checkpoint(spec, spec.load_charset(), "train", state)
    network = network_of(checkpoint)
    assert not network.training and set(network.state_dict()) <= set(state)

    key, tensor = next((k, v) for k, v in network.state_dict().items() if v.dim() > 1)
    wrong = {
        "lacks": (key, {k: v for k, v in state.items() if k != key}),
        "shape": (key, {**state, key: torch.empty((*tensor.shape, 2), device="meta")}),
        "holds": ("backbone.surplus", {**state, "backbone.surplus": tensor}),
    }
    for word, (named, damaged) in wrong.items():
        with pytest.raises(WeightsError, match=f"{re.escape(named)}.*") as error:
            network_of(dataclasses.replace(checkpoint, state_dict=damaged))
        assert word in str(error.value)


# ------------------------------------------------------------------------------------------------------------- computed


@dataclass
class Net:
    """A network of random numbers in evaluation mode, pictures for it, and the largest difference (relative to the
    largest value) that rounding explains.

    Random networks magnify rounding, so float64 compares sharply here what the goldens compare in float32. Unwarping
    has its fixed large size inside and stays in float32, with smooth pictures.
    """

    spec: ModelSpec
    classes: int | None
    network: nn.Module
    pictures: Tensor
    bar: float


@torch.no_grad()
def settle(network: nn.Module, pictures: Tensor) -> None:
    """Random scales and shifts, and in every batch norm the statistics of these pictures: nothing vanishes or explodes,
    and no batch norm is close to doing nothing."""
    for module in network.modules():
        if isinstance(module, NORMS):
            module.momentum = 1.0
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0.0, 0.1)
    for key, parameter in network.named_parameters():
        if parameter.dim() < 2 and key.endswith((".scale", ".bias")):
            parameter += 0.1 * torch.randn_like(parameter)
    network.train()
    network(pictures)
    network.eval()


@pytest.fixture(scope="module", params=COMPUTED)
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    """One architecture at a time: pytest groups the tests by it, and its memory goes before the next."""
    spec = load_spec(request.param)
    classes = CLASSES if spec.task == "rec" else spec.classes
    size = {"det": (64, 96), "rec": (48, 64), "cls": (64, 64), "unwarp": (64, 48), "sr": (16, 64)}[spec.task]
    if spec.task == "cls" and spec.preprocess.mode == "line":
        size = (48, 64)
    channels = 3
    if spec.preprocess.fixed:
        channels, *size = spec.probe
    size = tuple(-(-side // spec.preprocess.step) * spec.preprocess.step for side in size)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(spec.architecture, classes)
        pictures = torch.from_numpy(picture(seed=0, shape=(3, channels, *size)))
        if spec.task == "unwarp":
            pictures = F.interpolate(pictures[:2, :, ::16, ::16], size, mode="bicubic")
        settle(network, pictures)
    if spec.task == "unwarp":
        yield Net(spec, classes, network.requires_grad_(False), pictures, bar=1e-3)
    else:
        yield Net(spec, classes, network.double().requires_grad_(False), pictures.double(), bar=1e-9)


Output = Tensor | tuple[Tensor, ...]


def parts(output: Output) -> tuple[Tensor, ...]:
    """The outputs of a network, of which some have several."""
    return output if isinstance(output, tuple) else (output,)


def relative(got: Output, want: Output) -> float:
    """The largest difference relative to the largest value of each output."""
    pairs = zip(parts(got), parts(want), strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def chosen(output: Output, rows: slice) -> Output:
    """The outputs for some of the pictures."""
    return tuple(part[rows] for part in parts(output))


@torch.inference_mode()
def test_shape_and_range(net: Net) -> None:
    n, _, height, width = net.pictures.shape
    outputs = parts(net.network(net.pictures))
    output = outputs[0]
    maps = (1, height, width) if isinstance(net.spec.postprocess, DBPostprocess) else output.shape[1:]
    wanted = {
        "det": (n, *maps),
        "rec": (n, output.shape[1], output.shape[-1]),
        "cls": (n, net.classes),
        "unwarp": (n, 3, height, width),
        "sr": (n, 3, 2 * height, 2 * width),
    }[net.spec.task]
    assert net.spec.task != "rec" or output.shape[-1] in answers(net.spec, CLASSES)
    assert output.shape == wanted and all(bool(part.isfinite().all()) for part in outputs)
    if net.spec.task == "rec" and LAYOUTS[net.spec.postprocess.name].collapses and not net.spec.preprocess.fixed:
        assert output.shape[1] in (width // 8, width // 4), "a step for every 8 or, before PP-OCRv3, 4 columns"
    if net.spec.task in ("rec", "cls"):
        torch.testing.assert_close(output.sum(-1), torch.ones_like(output[..., 0]))
    if net.spec.task == "det":
        assert all(height % part.shape[2] == width % part.shape[3] == 0 for part in outputs)
    if isinstance(net.spec.postprocess, DBPostprocess):
        assert 0 <= float(output.min()) < float(output.max()) <= 1
    assert relative(chosen(outputs, slice(1)), chosen(outputs, slice(1, 2))) > 1e-4, (
        "other picture, same output: the tests below would say nothing"
    )


@torch.inference_mode()
def test_batch_mates_change_nothing(net: Net) -> None:
    together = net.network(net.pictures)
    for i in (0, len(net.pictures) - 1):
        assert relative(chosen(together, slice(i, i + 1)), net.network(net.pictures[i : i + 1])) < net.bar


@torch.inference_mode()
def test_fused_equals_eager(net: Net) -> None:
    before = copy.deepcopy(net.network.state_dict())
    eager = net.network(net.pictures)
    fused, deploy = fuse(net.network), fuse(net.network, only=Reparam)
    assert relative(fused(net.pictures), eager) < net.bar
    assert relative(deploy(net.pictures), eager) < net.bar
    assert relative(fuse(deploy)(net.pictures), eager) < net.bar
    assert not [path for path, module in fused.named_modules() if isinstance(module, (Fusible, NORMS))]
    assert not [path for path, module in deploy.named_modules() if isinstance(module, Reparam)]
    after = net.network.state_dict()
    assert set(before) == set(after) and all(torch.equal(before[key], after[key]) for key in before)


@torch.inference_mode()
def test_memory_format_changes_nothing(net: Net) -> None:
    wider = net.pictures[:1]
    if not net.spec.preprocess.fixed:
        wider = torch.cat([wider, net.pictures[1:2, :, :, : max(32, net.spec.preprocess.step)]], dim=3)
    output = net.network(wider)
    network = fuse(net.network).to(memory_format=torch.channels_last)
    assert relative(network(wider.contiguous(memory_format=torch.channels_last)), output) < net.bar


@pytest.mark.parametrize("name", DISTINCT)
def test_rows_of_classes_are_found(name: str) -> None:
    """Each parameter with a row per class, and no other, is named by the network: the others keep their shape when the
    number of characters changes."""
    spec = load_spec(name)
    if not spec.row.vocabulary:
        assert on_meta(spec, spec.classes, train=True).class_rows() == {}  # type: ignore[operator]
        return
    few, many = (on_meta(spec, classes, train=True) for classes in (CLASSES, CLASSES + 7))
    shapes = {key: value.shape for key, value in few.state_dict().items()}
    grown = {key for key, value in many.state_dict().items() if value.shape[:1] != shapes[key][:1]}
    assert set(few.class_rows()) == grown and set(few.class_rows().values()) <= set(LAYOUTS)  # type: ignore[operator]


@pytest.mark.parametrize("name", DISTINCT)
def test_what_is_run_is_the_network(name: str) -> None:
    network = on_meta(load_spec(name), load_spec(name).classes, train=False)
    assert set(network.state_dict()) == {k.removeprefix("network.") for k in network.decoding().state_dict()}  # type: ignore[operator]
