"""Guides count classes and know their padding by themselves, as networks know no vocabulary: both agree with it."""

from __future__ import annotations

from ptocr.nn.heads.nrtr import NRTRHead
from ptocr.nn.heads.sar import SARHead
from ptocr.spec.vocabulary import Vocabulary

CTC = Vocabulary(tuple("abcde"))


def test_nrtr() -> None:
    head, vocabulary = NRTRHead(CTC.classes, nrtr_dim=32, num_decoder_layers=1), CTC.with_layout("nrtr")
    assert head.tgt_word_prj.out_features == vocabulary.classes + 1  # upstream has a row that nothing uses
    assert head.embedding.embedding.padding_idx == vocabulary.token("pad")


def test_sar() -> None:
    head, vocabulary = SARHead(4, CTC.classes, enc_dim=8), CTC.with_layout("sar")
    assert head.decoder.embedding.num_embeddings == vocabulary.classes
    assert head.decoder.prediction.out_features == vocabulary.classes - 1  # padding is never predicted
    assert head.decoder.embedding.padding_idx == vocabulary.token("pad")
