"""Label files, data sets, samplers, and the check before training."""

from __future__ import annotations

import io
import json
import tarfile

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ptocr.data.data_report import check_sources
from ptocr.data.label_settings import AugmentPart, DataPart, LabelSource, SamplerPart
from ptocr.data.records import Records, chosen
from ptocr.data.samplers import Draw, EpochBatches, batch_plan
from ptocr.data.samples import ClsSamples, DetSamples, RecSamples, collate, read_sources
from ptocr.data.sources import aspect_ratios, read_bytes, read_source
from ptocr.data.targets import LabelEncoder
from ptocr.errors import InputError
from ptocr.processing.cls import cls_input
from ptocr.spec.model import load_spec
from ptocr.spec.vocabulary import Vocabulary
from ptocr.train.check import check_recipe
from ptocr.train.recipe import parse_recipe

REC = load_spec("PP-OCRv4_mobile_rec").preprocess
DET = load_spec("PP-OCRv4_mobile_det").preprocess


def picture(path, width=40, height=20, value=200):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), value, np.uint8))


def rec_samples(items, augment=None, **options):
    return RecSamples(items, REC, LabelEncoder(Vocabulary.from_lines("abcdefghij", True)), augment, **options)


def test_paddle_rec_labels(tmp_path):
    picture(tmp_path / "a.png")
    label = tmp_path / "rec_gt.txt"
    label.write_bytes(
        '\ufeffa.png\tein Wort\r\n\nno tab here\nb.png\t\n["a.png", "c.png"]\t二\n'.encode() + b"d.png\t\xff\n"
    )
    items, bad = read_source(LabelSource(path=label), "rec")
    assert [(len(i.images), i.label) for i in items] == [(1, "ein Wort"), (2, "二")]
    assert items[0].images[0] == str(tmp_path / "a.png")
    assert [b.where.rsplit(":")[-1] for b in bad] == ["3", "4", "6"]


def test_ppocrlabel_paths_and_difficult_texts(tmp_path):
    picture(tmp_path / "pages" / "a.png")
    box = [[0, 0], [9, 0], [9, 9], [0, 9]]
    entries = [
        {"transcription": "x", "points": box, "difficult": False},
        {"transcription": "y", "points": box, "difficult": True},
        {"transcription": "###", "points": [0, 0, 9, 0, 9, 9, 0, 9]},  # as CentripetalText's labels have them
    ]
    label = tmp_path / "pages" / "Label.txt"
    label.write_text(f'pages/a.png\t{json.dumps(entries)}\npages/a.png\t[{{"points": 3}}]\n', encoding="utf-8")
    items, bad = read_source(LabelSource(path=label), "det")
    assert items[0].images == (str(tmp_path / "pages" / "a.png"),)
    assert items[0].label.ignore == (False, True, True)
    assert len(bad) == 1 and "text 0" in bad[0].why


def test_icdar2015(tmp_path):
    picture(tmp_path / "img_1.jpg")
    (tmp_path / "gt_img_1.txt").write_text("\ufeff1,2,30,2,30,12,1,12,a,b\n0,0,5,0,5,5,0,5,###\n", encoding="utf-8")
    (tmp_path / "gt_img_2.txt").write_text("1,2\n", encoding="utf-8")
    items, bad = read_source(LabelSource(path=tmp_path, format="icdar2015"), "det")
    assert items[0].label.texts == ("a,b", "###") and items[0].label.ignore == (False, True)
    np.testing.assert_array_equal(items[0].label.polys[0], [[1, 2], [30, 2], [30, 12], [1, 12]])
    assert len(bad) == 1 and "img_2" in bad[0].why


def png(height=20, width=50) -> bytes:
    ok, data = cv2.imencode(".png", np.full((height, width, 3), 7, np.uint8))
    assert ok
    return data.tobytes()


def write_lmdb(folder, labels):
    """An LMDB as deep-text-recognition-benchmark's create_lmdb_dataset.py writes it; None: no label."""
    lmdb = pytest.importorskip("lmdb")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lmdb.open(str(folder), map_size=1 << 20) as db, db.begin(write=True) as transaction:
        for number, label in enumerate(labels, 1):
            transaction.put(b"image-%09d" % number, png())
            if label is not None:
                transaction.put(b"label-%09d" % number, label.encode())
        transaction.put(b"num-samples", str(len(labels)).encode())
    return folder


def test_lmdb(tmp_path):
    write_lmdb(tmp_path / "db", ["wört", None])
    items, bad = read_source(LabelSource(path=tmp_path / "db", format="lmdb"), "rec")
    assert [i.label for i in items] == ["wört"] and [b.where for b in bad] == [f"{tmp_path / 'db'}#2"]
    assert rec_samples(items).load(0, np.random.default_rng(0)).shape == (20, 50, 3)


def test_every_lmdb_below_a_folder_is_read_without_holding_its_samples(tmp_path):
    write_lmdb(tmp_path / "training" / "MJ" / "MJ_train", ["one", None, "three"])
    write_lmdb(tmp_path / "training" / "ST", ["four", "five" * 9])
    source = LabelSource(path=tmp_path / "training", format="lmdb")
    items, _, broken = read_sources([source], "rec", DataPart())
    assert isinstance(items, Records) and len(broken) == 1 and len(items) == 4
    assert [i.label for i in items] == ["one", "three", "four", "five" * 9]
    assert [i.label for i in items[1::2]] == ["three", "five" * 9]
    kept = chosen(items, np.array([True, False, True, False]))
    assert [i.label for i in kept] == ["one", "four"] and kept[-1].label == "four"
    batch = next(iter(DataLoader(rec_samples(kept), batch_size=2, collate_fn=collate, num_workers=1)))
    assert batch["image"].shape[0] == 2 and batch["broken"] == []
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no LMDB"):
        read_source(LabelSource(path=tmp_path / "none", format="lmdb"), "rec")


def write_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_webdataset_tars(tmp_path):
    """Members as `webdataset.TarWriter` names them."""
    (tmp_path / "shards").mkdir()
    first = {"000000.png": png(), "000000.txt": b"eins", "000001.png": png(10, 90), "000001.txt": b"zwei\n"}
    write_tar(tmp_path / "shards" / "a-000000.tar", first)
    second = {"x/7.v1.png": png(), "7.png": png(), "7.txt": b"drei", "8.png": png(), "9.png": png(), "9.txt": b""}
    write_tar(tmp_path / "shards" / "a-000001.tar", second)
    items, bad = read_source(LabelSource(path=tmp_path / "shards", format="tar"), "rec")
    assert [i.label for i in items] == ["eins", "zwei", "drei"]
    assert sorted(b.why for b in bad) == ["a picture without .txt or .cls", "empty label"]
    assert rec_samples(items).load(1, np.random.default_rng(0)).shape == (10, 90, 3)
    np.testing.assert_allclose(aspect_ratios(items), [2.5, 9, 2.5])
    page = [{"transcription": "a", "points": [[1, 1], [9, 1], [9, 9], [1, 9]]}]
    pages = write_tar(tmp_path / "pages.tar", {"p.png": png(), "p.json": json.dumps(page).encode()})
    items, _ = read_source(LabelSource(path=pages, format="tar"), "det")
    assert items[0].label.texts == ("a",)
    (tmp_path / "no.tar").write_bytes(b"x" * 2000)
    with pytest.raises(InputError, match=r"no\.tar: not an uncompressed tar"):
        read_source(LabelSource(path=tmp_path / "no.tar", format="tar"), "rec")
    pages.write_bytes(pages.read_bytes()[:600])
    with pytest.raises(InputError, match="ends within"):
        read_bytes(items[0].images[0])


@pytest.mark.parametrize("form", ["lmdb", "icdar2015"])
def test_sources_of_another_task_are_refused(tmp_path, form):
    with pytest.raises(InputError, match=f"(?i){form[:4]}"):
        read_source(LabelSource(path=tmp_path, format=form), "cls")


def test_a_broken_picture_is_named_and_replaced(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    (tmp_path / "gt.txt").write_text("a.png\tabc\nb.png\tabc\nc.png\tabc\na.png\t???\n", encoding="utf-8")
    items, _ = read_source(LabelSource(path=tmp_path / "gt.txt"), "rec")
    batch = collate([rec_samples(items)[Draw(0, i)] for i in range(4)])
    assert batch["image"].shape == (4, 3, 48, 320) and batch["text"] == ["abc"] * 4
    names = batch["broken"]
    assert len(names) == 3 + 2 + 1  # b, c and ??? before a is reached again, and so on
    assert any("gt.txt:2" in n for n in names) and any("c.png" in n for n in names)
    broken = rec_samples(items[1:])
    with pytest.raises(InputError, match="none of 3"):
        broken[0]


def test_too_many_bad_labels_stop_the_run(tmp_path):
    (tmp_path / "gt.txt").write_text("nothing\n" * 5, encoding="utf-8")
    with pytest.raises(InputError, match=r"5 unusable labels.*max_broken = 4"):
        read_sources([LabelSource(path=tmp_path / "gt.txt")], "rec", DataPart(max_broken=4))
    with pytest.raises(InputError, match="no samples"):
        read_sources([LabelSource(path=tmp_path / "gt.txt")], "rec", DataPart())


def test_samples_depend_on_seed_epoch_and_index_alone(lines, pages):
    recs, _ = read_source(LabelSource(path=lines), "rec")
    dets, _ = read_source(LabelSource(path=pages), "det")
    augment = AugmentPart(crop_size=(64, 64), color=(0.3, 0.3, 0.3, 0.1))
    for make in (lambda s: rec_samples(recs, augment, seed=s), lambda s: DetSamples(dets, DET, augment, seed=s)):
        first = make(5)[Draw(3, 7)]["image"]
        assert torch.equal(first, make(5)[Draw(3, 7)]["image"])
        assert not torch.equal(first, make(6)[Draw(3, 7)]["image"])
        assert not torch.equal(first, make(5)[Draw(4, 7)]["image"])


def test_workers_give_the_same_batches(lines):
    items, _ = read_source(LabelSource(path=lines), "rec")
    samples = rec_samples(items, AugmentPart(), seed=1)
    batches = EpochBatches(len(items), [(160, 48, 8)], seed=1)
    images = []
    for workers in (0, 2):
        loader = torch.utils.data.DataLoader(samples, batch_sampler=batches, collate_fn=collate, num_workers=workers)
        images.append(torch.cat([batch["image"] for batch in loader]))
    assert torch.equal(*images)


def test_batches_cover_the_epoch_and_are_shared_out():
    plan = [(320, 48, 6)]
    whole = EpochBatches(50, [(320, 48, 12)], seed=3)
    parts = [EpochBatches(50, plan, seed=3, rank=r, processes=2) for r in (0, 1)]
    drawn = [d.sample for b in whole for d in b]
    assert set(drawn) == set(range(50)) and len(drawn) == 60
    for together, a, b in zip(whole, *parts, strict=True):
        assert together[0::2] == a and together[1::2] == b
    assert list(whole) == list(whole)
    first = list(whole)
    whole.start(1)
    assert list(whole) != first
    whole.start(0, 2)
    assert list(whole) == first[2:]


def test_ratios_weights_and_scales(tmp_path):
    weighted = EpochBatches(4, [(0, 0, 1)], weights=np.array([2.0, 0.5, 1.5, 1.0]))
    counts = np.zeros(4)
    for epoch in range(200):
        weighted.start(epoch)
        for batch in weighted:
            counts[batch[0].sample] += 1
    np.testing.assert_allclose(counts / 200, [2, 0.5, 1.5, 1], atol=0.1)
    assert len(weighted) == len(list(weighted)) == 5
    part = SamplerPart(scales=((320, 32), (320, 48), (320, 64)))
    assert batch_plan(part, 96) == [(320, 32, 96), (320, 48, 64), (320, 64, 48)]
    assert batch_plan(part.model_copy(update={"fixed_batch": True}), 9)[2] == (320, 64, 9)
    for number, width in enumerate((20, 40, 200, 400)):
        picture(tmp_path / f"{number}.png", width=width, height=20)
    (tmp_path / "gt.txt").write_text("".join(f"{n}.png\tab\n" for n in range(4)), encoding="utf-8")
    items, _ = read_source(LabelSource(path=tmp_path / "gt.txt"), "rec")
    ratios = aspect_ratios(items)
    np.testing.assert_allclose(ratios, [1, 2, 10, 20])
    widths = {
        tuple(sorted(d.sample for d in b)): b[0].width
        for b in EpochBatches(4, [(64, 48, 2)], ratios=ratios, max_width=640)
    }
    assert widths == {(0, 1): 96, (2, 3): 640}
    wide = EpochBatches(4, [(320, 48, 2)], ratios=ratios, max_width=960)
    assert sorted(b[0].width for b in wide) == [320, 960]


def test_check_reports_what_training_would_stumble_over(tmp_path, dictionary):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", value=10)
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes())
    text = "a.png\tabc\nb.png\tabß\nc.png\tcab\nd.png\tx\nno label\na.png\t" + "a" * 40 + "\n"
    (tmp_path / "gt.txt").write_text(text, encoding="utf-8")
    data = {"train": [{"path": str(tmp_path / "gt.txt")}]}
    recipe = parse_recipe({"model": "PP-OCRv4_mobile_rec", "charset": str(dictionary), "data": data}, "test")
    (report,) = check_recipe(recipe)
    assert report.samples == 5 and not report.fine
    assert report.missing == {"ß": 1, "x": 1}
    assert {k: len(v) for k, v in report.problems.items()} == {
        "bad labels": 1,
        "duplicates": 2,
        "unreadable pictures": 1,
        "texts that cannot be used (longer than 23, or unknown)": 2,
    }
    assert "'ß' 1" in report.text() and "gt.txt:5" in report.text()


def test_a_text_that_is_only_compared_with_may_be_long(tmp_path, dictionary):
    picture(tmp_path / "a.png")
    (tmp_path / "gt.txt").write_text(f"a.png\t{'a' * 60}\n", encoding="utf-8")
    source = [{"path": str(tmp_path / "gt.txt")}]
    settings = {"model": "PP-OCRv4_mobile_rec", "charset": str(dictionary), "data": {"train": source, "val": source}}
    assert [report.fine for report in check_recipe(parse_recipe(settings, "test"))] == [False, True]


def test_check_of_pages_and_classes(tmp_path, pages, directions):
    assert check_sources("pages", [LabelSource(path=pages)], "det").fine
    assert check_sources("lines", [LabelSource(path=directions)], "cls", labels=("0", "180")).fine
    report = check_sources("lines", [LabelSource(path=directions)], "cls", labels=("0", "90"))
    assert len(report.problems["unknown classes"]) == 16
    picture(tmp_path / "a.png")
    far = [{"transcription": "x", "points": [[0, 0], [99, 0], [99, 9], [0, 9]]}]
    (tmp_path / "Label.txt").write_text(f"a.png\t{json.dumps(far)}\na.png\t[]\n", encoding="utf-8")
    problems = check_sources("pages", [LabelSource(path=tmp_path / "Label.txt")], "det").problems
    assert set(problems) == {"texts outside their page", "pages without texts", "duplicates"}


def test_lines_are_turned_clockwise_by_the_degrees_of_their_class(tmp_path):
    image = np.arange(20 * 40 * 3, dtype=np.uint32).reshape(20, 40, 3).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "1.png"), image)
    spec = load_spec("ch_PP-OCRv3_rotnet")
    items, _ = read_source(LabelSource(path=tmp_path, format="folder"), spec.task)
    part = AugmentPart(photometric=0.0, turns=True)
    samples = ClsSamples(items, spec.preprocess, spec.postprocess.labels, part)
    ways = [None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE]
    seen = set()
    for epoch in range(24):
        sample = samples[Draw(epoch, 0)]
        way = ways[sample["label"]]
        wanted = cls_input(image if way is None else cv2.rotate(image, way), spec.preprocess)
        np.testing.assert_array_equal(sample["image"].numpy(), wanted)
        seen.add(sample["label"])
    assert seen == {0, 1, 2, 3}
