"""Publishing a model: a folder with safetensors weights and a model card, and its upload to a Hugging Face hub."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from ptocr.checkpoint import Checkpoint, save_checkpoint
from ptocr.errors import DeviceError, WeightsError
from ptocr.files import write_atomic

WEIGHTS, CARD = "model.safetensors", "README.md"
_CARD = """---
license: apache-2.0
library_name: ptocr
pipeline_tag: image-to-text
tags: [ocr, pytorch, {family}]
---

# {title}

Weights of {name} for ptocr. The file holds the settings{charset} too and needs no other file.

```python
import ptocr
from huggingface_hub import hf_hub_download

weights = hf_hub_download("{repository}", "{weights}")
model = ptocr.create_model("{name}", model_dir=weights)
for result in model.predict("picture.png"):
    print(result)
```

Where the weights come from:

```json
{source}
```
"""


def write_model_folder(folder: Path, checkpoint: Checkpoint, repository: str) -> list[Path]:
    """`model.safetensors` and the model card `README.md` of a checkpoint, for `repository` (OWNER/NAME)."""
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(folder / WEIGHTS, checkpoint)
    write_atomic(folder / CARD, model_card(checkpoint, repository).encode("utf-8"))
    return [folder / WEIGHTS, folder / CARD]


def model_card(checkpoint: Checkpoint, repository: str) -> str:
    """The hub's README: front matter, how to use the weights, where they come from."""
    charset, spec = checkpoint.charset, checkpoint.spec
    return _CARD.format(
        title=repository.rpartition("/")[2],
        family=spec.task,
        name=spec.name,
        charset="" if charset is None else f" and the {len(charset.characters)} characters that it reads",
        repository=repository,
        weights=WEIGHTS,
        source=json.dumps(checkpoint.source, indent=1, ensure_ascii=False, default=str),
    )


def upload(checkpoint: Checkpoint, repository: str, private: bool = False) -> str:
    """Publish a checkpoint as `repository` (OWNER/NAME) on the hub; returns the address of the commit.

    The token is that of `hf auth login` or HF_TOKEN, the hub that of HF_ENDPOINT.

    Raises:
        DeviceError: huggingface_hub is not installed; WeightsError: the hub refused.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError:
        raise DeviceError("the hub needs huggingface_hub; install it with `pip install huggingface_hub`") from None
    api = HfApi()
    with tempfile.TemporaryDirectory() as folder:
        write_model_folder(Path(folder), checkpoint, repository)
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=repository, folder_path=folder, commit_message=f"{checkpoint.spec.name} by ptocr export"
            )
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise WeightsError(
                f"{repository}: the hub at {api.endpoint} refused: {str(error).splitlines()[0]}"
            ) from None
    return str(done.commit_url)
