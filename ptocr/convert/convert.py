"""Official weights of any format -> `Checkpoint`."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from ptocr.charset import Charset
from ptocr.checkpoint import Checkpoint
from ptocr.convert.align import align, transfer
from ptocr.convert.mapping import map_state
from ptocr.convert.readers import Source, read
from ptocr.convert.trace import trace
from ptocr.nn.build import build_network
from ptocr.nn.fuse import Reparam, fuse
from ptocr.spec import ModelSpec, load_spec

log = logging.getLogger(__name__)
