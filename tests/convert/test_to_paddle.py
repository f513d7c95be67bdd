"""`.pdparams` written back: the way there and back again, and out of the deploy form."""

from __future__ import annotations

import pytest
import torch

from ptocr.checkpoint import Checkpoint, network_of
from ptocr.convert.convert import convert
from ptocr.convert.to_paddle import training_form, write_pdparams
from ptocr.errors import WeightsError
from ptocr.nn.build import build_network
from ptocr.nn.fuse import Reparam, fuse
from ptocr.spec.model import load_spec
from ptocr.spec.vocabulary import Vocabulary


def checkpoint_of(name, form="train", train=False) -> Checkpoint:
    torch.manual_seed(0)
    spec = load_spec(name)
    charset = Vocabulary.from_lines([chr(0x4E00 + i) for i in range(50)], True) if spec.task == "rec" else None
    network = build_network(spec.architecture, charset.classes if charset else spec.classes, train)
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if key.endswith("running_mean"):
                tensor.normal_()
            elif key.endswith("running_var"):
                tensor.uniform_(0.5, 2)
    network = fuse(network, only=Reparam) if form == "deploy" else network
    return Checkpoint(spec, charset, form, network.state_dict(), {"name": "test"})


@pytest.mark.parametrize("name", ["PP-OCRv4_mobile_rec", "PP-OCRv3_mobile_rec", "PP-OCRv4_mobile_det"])
@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
def test_there_and_back(name, train, tmp_path):
    checkpoint = checkpoint_of(name, train=train)
    path = write_pdparams(checkpoint, tmp_path / "model.pdparams")
    dictionary = tmp_path / "dict.txt"
    dictionary.write_text("\n".join(checkpoint.charset.characters) if checkpoint.charset else "", encoding="utf-8")
    back = convert(path, model=name, charset=dictionary if checkpoint.charset else None)
    assert back.form == "train" and back.charset == checkpoint.charset
    counters = {k for k in checkpoint.state_dict if k.endswith("num_batches_tracked")}
    assert set(back.state_dict) | counters == set(checkpoint.state_dict)
    for key in set(checkpoint.state_dict) - counters:
        assert torch.equal(back.state_dict[key], checkpoint.state_dict[key]), key


@pytest.mark.parametrize("name", ["PP-OCRv4_mobile_rec", "PP-OCRv4_mobile_det"])
def test_deploy_weights_compute_the_same_in_training_form(name, tmp_path):
    deployed = checkpoint_of(name, form="deploy")
    x = torch.rand(1, 3, 48, 64) if "rec" in name else torch.rand(1, 3, 64, 64)
    spread = Checkpoint(deployed.spec, deployed.charset, "train", training_form(deployed), deployed.source)
    with torch.no_grad():
        torch.testing.assert_close(network_of(spread)(x), network_of(deployed)(x), rtol=1e-4, atol=1e-5)
    write_pdparams(deployed, tmp_path / "model.pdparams")


def test_other_merged_blocks_are_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"PP-OCRv6_tiny_det.*merged"):
        write_pdparams(checkpoint_of("PP-OCRv6_tiny_det", form="deploy"), tmp_path / "model.pdparams")
