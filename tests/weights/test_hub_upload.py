"""Checkpoints as safetensors, and their upload by huggingface_hub to a hub on the loopback interface."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors import safe_open

from ptocr.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ptocr.cli.commands import main
from ptocr.spec.model import load_spec
from ptocr.weights import store


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[Path, Checkpoint]:
    """The smallest classifier with random numbers."""
    spec = load_spec("PP-LCNet_x0_25_textline_ori")
    torch.manual_seed(0)
    network = store.build_model(spec, train=True)
    checkpoint = Checkpoint(spec, None, "train", network.state_dict(), {"name": spec.name, "trained": {"step": 7}})
    path = tmp_path_factory.mktemp("small") / "small.pth"
    save_checkpoint(path, checkpoint)
    return path, checkpoint


@dataclass
class Hub:
    """What a hub was told. refuse: answer everything with 403."""

    url: str = ""
    asked: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    refuse: bool = False


@pytest.fixture
def hub(monkeypatch) -> Iterator[Hub]:
    """A hub that takes commits of regular files, as huggingface.co answers."""
    constants = pytest.importorskip("huggingface_hub.constants")
    told = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            if told.refuse:
                return self.answer({"error": "no rights here"}, 403)
            if path.endswith("/commit/main"):
                rows = [json.loads(line) for line in body.splitlines()]
                told.asked.append((path, rows[0]["value"], self.headers["Authorization"]))
                for row in rows[1:]:
                    told.files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
                return self.answer({"commitUrl": f"{told.url}/me/mine/commit/abc", "commitOid": "abc"})
            told.asked.append((path, json.loads(body or b"{}"), self.headers["Authorization"]))
            if path.endswith("/preupload/main"):
                files = [f["path"] for f in told.asked[-1][1]["files"]]
                modes = [{"path": f, "uploadMode": "regular", "shouldIgnore": False} for f in files]
                return self.answer({"files": modes})
            if path == "/api/repos/create":
                return self.answer({"url": f"{told.url}/me/mine", "name": "me/mine", "id": "me/mine"})
            return self.answer({"errors": [], "warnings": []})

        def do_GET(self) -> None:
            self.answer({"id": "me/mine", "sha": "0" * 40, "siblings": []})

        def answer(self, value: dict[str, Any], status: int = 200) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", told.url)
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    yield told
    server.shutdown()
    server.server_close()


def same(a: Checkpoint, b: Checkpoint) -> bool:
    return (
        (a.spec, a.charset, a.form, a.source) == (b.spec, b.charset, b.form, b.source)
        and set(a.state_dict) == set(b.state_dict)
        and all(torch.equal(value, b.state_dict[name]) for name, value in a.state_dict.items())
    )


def test_safetensors_hold_a_whole_checkpoint(small, tmp_path, capsys):
    path, checkpoint = small
    out = tmp_path / "small.safetensors"
    assert main(["export", "--model", str(path), "--out", str(out), "--format", "safetensors"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    with safe_open(out, "pt") as file:  # the library's own reader sees plain tensors
        assert set(file.keys()) == set(checkpoint.state_dict)
    assert same(load_checkpoint(out), checkpoint) and store.find(out) == out
    assert same(store.load(str(out)), checkpoint)
    assert main(["export", "--model", str(path), "--out", str(tmp_path / "a.pth"), "--format", "safetensors"]) == 2
    assert "ends in .safetensors" in capsys.readouterr().err


def test_a_model_is_published_with_its_card(hub, small, tmp_path, capsys):
    path, checkpoint = small
    assert main(["export", "--model", str(path), "--hub", "me/mine", "--private"]) == 0
    assert capsys.readouterr().out.strip() == f"{hub.url}/me/mine/commit/abc"
    created = next(body for where, body, _ in hub.asked if where == "/api/repos/create")
    assert created["name"] == "mine" and created["organization"] == "me"
    assert created.get("private") is True or created.get("visibility") == "private"
    assert {token for _, _, token in hub.asked} == {"Bearer hf_of_a_test"}
    assert set(hub.files) == {"model.safetensors", "README.md"}
    (tmp_path / "model.safetensors").write_bytes(hub.files["model.safetensors"])
    assert same(load_checkpoint(tmp_path / "model.safetensors"), checkpoint)
    _, front, text = hub.files["README.md"].decode().split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "ptocr" and yaml.safe_load(front)["license"] == "apache-2.0"
    assert "PP-LCNet_x0_25_textline_ori" in text and '"step": 7' in text and 'hf_hub_download("me/mine"' in text


def test_a_hub_that_refuses_is_one_line(hub, small, capsys):
    hub.refuse = True
    assert main(["export", "--model", str(small[0]), "--hub", "me/mine"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: me/mine: the hub at {hub.url} refused: ") and error.count("\n") == 1
    assert main(["export", "--model", str(small[0]), "--hub", "no such name!"]) == 2
    assert main(["export", "--model", str(small[0]), "--hub", "me/mine", "--format", "onnx"]) == 2
