"""Pipeline configuration with PaddleX's keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ptocr import paths
from ptocr.errors import SpecError
from ptocr.pipelines.structure_v3 import STRUCTURE_V3, structure_of
from ptocr.spec.settings import Growth, LimitType, MergeMode, PixelLimit, Positive, Ratio, Share, SideLimit
from ptocr.spec.yaml import explain, read_yaml


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class ModuleConfig(_Frozen):
    """One model of a pipeline: by name, or by the folder or file of its weights."""

    module_name: str | None = None
    model_name: str
    model_dir: str | None = None
    batch_size: int = Field(default=6, ge=1)
    # keys of Paddle's own engines, taken so that its files run as they are; they mean nothing here
    engine: Any = None
    engine_config: Any = None
    use_hpip: Any = None
    hpi_config: Any = None

    @property
    def dictionary(self) -> str | None:
        """A dictionary file instead of the weights' own."""
        return None


class DetectionConfig(ModuleConfig):
    """Text detection; None keeps what the model's spec says."""

    batch_size: int = Field(default=1, ge=1)
    limit_side_len: Positive | None = None
    limit_type: LimitType | None = None
    max_side_limit: SideLimit | None = None
    max_pixels: PixelLimit | None = None
    thresh: Share | None = None
    box_thresh: Share | None = None
    unclip_ratio: Ratio | None = None
    input_shape: tuple[int, ...] | None = None


class RecognitionConfig(ModuleConfig):
    """Text recognition; lines that score less than `score_thresh` are left out. charset: a dictionary file instead of
    the weights' own."""

    charset: str | None = None
    score_thresh: float = 0.0
    return_word_box: bool = False
    input_shape: tuple[int, ...] | None = None

    @property
    def dictionary(self) -> str | None:
        return self.charset


class DraftConfig(ModuleConfig):
    """A quick recogniser that reads lines first; what scores less than `accept_thresh` is read again by the other."""

    accept_thresh: Share = 0.95


@dataclass(frozen=True)
class Without:
    """What a call says to go on without a module."""

    advice: str


class Modules(_Frozen):
    """Base of the models of a pipeline; those that can be switched off are annotated with `Without`."""

    def present(self) -> dict[str, ModuleConfig]:
        """The models by module name."""
        own = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: module for name, module in own.items() if module is not None}


def _below(kind: type[Any]) -> Iterator[type[Any]]:
    """The subclasses of a class, and theirs."""
    for own in kind.__subclasses__():
        yield from (own, *_below(own))


def advice(name: str) -> str | None:
    """How to go on without a module of this name, None for one that cannot be switched off."""
    fields = (kind.model_fields[name] for kind in _below(Modules) if name in kind.model_fields)
    return next((m.advice for field in fields for m in field.metadata if isinstance(m, Without)), None)


class PipelineConfig(_Frozen):
    """Base of what a pipeline's YAML says. short: where a module stands, by the name that keywords have for it."""

    short: ClassVar[Mapping[str, tuple[str, ...]]]
    pipeline_name: str

    def modules(self) -> dict[str, ModuleConfig]:
        """All models by module name, also those that only a call may switch on."""
        raise NotImplementedError

    def used(self) -> dict[str, ModuleConfig]:
        """The models that every page meets unless a call says otherwise."""
        raise NotImplementedError


class DocModules(Modules):
    """Models of document preprocessing."""

    DocOrientationClassify: Annotated[
        ModuleConfig | None, Without("use_doc_orientation_classify=False (the lines then say which way up a page is)")
    ] = ModuleConfig(module_name="doc_text_orientation", model_name="PP-LCNet_x1_0_doc_ori")
    DocUnwarping: Annotated[ModuleConfig | None, Without("use_doc_unwarping=False")] = ModuleConfig(
        module_name="image_unwarping", model_name="UVDoc"
    )


class DocPreprocessor(PipelineConfig):
    """Page direction and unwarping before anything is read."""

    short: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "doc_orientation_classify": ("SubModules", "DocOrientationClassify"),
        "doc_unwarping": ("SubModules", "DocUnwarping"),
    }
    pipeline_name: str = "doc_preprocessor"
    use_doc_orientation_classify: bool = True
    use_doc_unwarping: bool = True
    batch_size: int = Field(default=1, ge=1)
    SubModules: DocModules = DocModules()

    def modules(self) -> dict[str, ModuleConfig]:
        return self.SubModules.present()

    def used(self) -> dict[str, ModuleConfig]:
        asked = {"DocOrientationClassify": self.use_doc_orientation_classify, "DocUnwarping": self.use_doc_unwarping}
        return {name: module for name, module in self.modules().items() if asked[name]}


class OCRModules(Modules):
    """Models of the OCR pipeline."""

    TextDetection: DetectionConfig
    TextLineOrientation: Annotated[ModuleConfig | None, Without("use_textline_orientation=False")] = None
    TextRecognition: RecognitionConfig
    TextRecognitionDraft: Annotated[DraftConfig | None, Without('another `profile` than "fast"')] = None


class OCRSubPipelines(_Frozen):
    """Pipelines inside the OCR pipeline."""

    DocPreprocessor: DocPreprocessor


class PipelineSpec(PipelineConfig):
    """An OCR pipeline, PaddleX's `OCR.yaml`. profile (ptocr's): a key of `profiles.PROFILES`."""

    short: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "text_detection": ("SubModules", "TextDetection"),
        "text_recognition": ("SubModules", "TextRecognition"),
        "text_recognition_draft": ("SubModules", "TextRecognitionDraft"),
        "textline_orientation": ("SubModules", "TextLineOrientation"),
        **{key: ("SubPipelines", "DocPreprocessor", *path) for key, path in DocPreprocessor.short.items()},
    }
    pipeline_name: Literal["OCR"]
    text_type: Literal["general", "seal"] = "general"
    use_doc_preprocessor: bool = False
    use_textline_orientation: bool = False
    batch_size: int = Field(default=1, ge=1)
    profile: str = "balanced"
    SubModules: OCRModules
    SubPipelines: OCRSubPipelines | None = None

    @property
    def doc(self) -> DocPreprocessor:
        """Document preprocessing, which stands by even without a SubPipelines section: a call may switch it on."""
        return DocPreprocessor() if self.SubPipelines is None else self.SubPipelines.DocPreprocessor

    def modules(self) -> dict[str, ModuleConfig]:
        return self.SubModules.present() | self.doc.modules()

    def used(self) -> dict[str, ModuleConfig]:
        lines = self.SubModules.present()
        if not self.use_textline_orientation:
            lines.pop("TextLineOrientation", None)
        return lines | (self.doc.used() if self.use_doc_preprocessor else {})


class LayoutConfig(ModuleConfig):
    """Layout detection; None keeps what the model's spec says, without the last three nothing is merged. What is given
    for classes is keyed by their index."""

    threshold: Share | dict[int, Share] | None = None
    layout_nms: bool | None = None
    layout_unclip_ratio: Growth | dict[int, Growth] | None = None
    layout_merge_bboxes_mode: MergeMode | dict[int, MergeMode] | None = None


class StructureModules(OCRModules):
    """Models of the structure pipeline."""

    LayoutDetection: Annotated[
        LayoutConfig | None,
        Without(
            "use_layout_detection=False (the picture is one table, or one seal), or for tables "
            "layout_detection_model_name='picodet_lcnet_x1_0_fgd_layout_cdla'"
        ),
    ] = None
    TableStructureRecognition: Annotated[ModuleConfig | None, Without("use_table_recognition=False")] = None


class StructureSpec(PipelineSpec):
    """A structure pipeline: OCR with layout and tables. The last four have no models here; see `StructurePipeline`."""

    short: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **PipelineSpec.short,
        "layout_detection": ("SubModules", "LayoutDetection"),
        "table_structure_recognition": ("SubModules", "TableStructureRecognition"),
        "wireless_table_structure_recognition": ("SubModules", "TableStructureRecognition"),
    }
    pipeline_name: Literal["structure"]  # type: ignore[assignment]
    use_layout_detection: bool = True
    use_table_recognition: bool = True
    SubModules: StructureModules
    use_formula_recognition: bool = False
    use_seal_recognition: bool = False
    use_chart_recognition: bool = False
    use_region_detection: bool = False

    def used(self) -> dict[str, ModuleConfig]:
        models = super().used()
        if not self.use_layout_detection:
            models.pop("LayoutDetection", None)
        if not self.use_table_recognition:
            models.pop("TableStructureRecognition", None)
        return models


class SealModules(Modules):
    """Models of the seal pipeline itself; without one, pictures are whole seals."""

    LayoutDetection: LayoutConfig | None = None


class SealSubPipelines(OCRSubPipelines):
    """Pipelines inside the seal pipeline."""

    SealOCR: PipelineSpec


class SealSpec(PipelineConfig):
    """A seal pipeline, PaddleX's `seal_recognition.yaml`."""

    short: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "layout_detection": ("SubModules", "LayoutDetection"),
        "seal_text_detection": ("SubPipelines", "SealOCR", "SubModules", "TextDetection"),
        "text_recognition": ("SubPipelines", "SealOCR", "SubModules", "TextRecognition"),
        "textline_orientation": ("SubPipelines", "SealOCR", "SubModules", "TextLineOrientation"),
        **{key: ("SubPipelines", "DocPreprocessor", *path) for key, path in DocPreprocessor.short.items()},
    }
    pipeline_name: Literal["seal_recognition"]
    use_layout_detection: bool = True
    use_doc_preprocessor: bool = True
    batch_size: int = Field(default=1, ge=1)
    SubModules: SealModules = SealModules()
    SubPipelines: SealSubPipelines

    def modules(self) -> dict[str, ModuleConfig]:
        inner = self.SubPipelines
        return self.SubModules.present() | inner.SealOCR.modules() | inner.DocPreprocessor.modules()

    def used(self) -> dict[str, ModuleConfig]:
        doc = self.SubPipelines.DocPreprocessor.used() if self.use_doc_preprocessor else {}
        layout = self.SubModules.present() if self.use_layout_detection else {}
        return layout | self.SubPipelines.SealOCR.used() | doc


class SpottingConfig(ModuleConfig):
    """An end-to-end model. charset: a dictionary file instead of the weights' own."""

    charset: str | None = None

    @property
    def dictionary(self) -> str | None:
        return self.charset


class SpottingModules(Modules):
    """The model of the end-to-end pipeline."""

    TextSpotting: SpottingConfig = SpottingConfig(module_name="text_spotting", model_name="e2e_r50_vd_pg")


class SpottingSpec(PipelineConfig):
    """An end-to-end pipeline: one network finds lines and reads them."""

    short: ClassVar[Mapping[str, tuple[str, ...]]] = {"text_spotting": ("SubModules", "TextSpotting")}
    pipeline_name: Literal["PGNet"]
    SubModules: SpottingModules = SpottingModules()

    def modules(self) -> dict[str, ModuleConfig]:
        return self.SubModules.present()

    def used(self) -> dict[str, ModuleConfig]:
        return self.modules()


# The class of each pipeline's YAML, by `pipeline_name`.
SPECS: dict[str, type[PipelineConfig]] = {
    "OCR": PipelineSpec,
    "doc_preprocessor": DocPreprocessor,
    "structure": StructureSpec,
    "PGNet": SpottingSpec,
    "seal_recognition": SealSpec,
}


def list_pipelines() -> list[str]:
    """Names of the pipelines that come with ptocr."""
    return sorted(p.stem for p in (paths.configs() / "pipelines").glob("*.yaml"))


def pipeline_file(name_or_path: str | Path) -> Path:
    """The YAML file of a pipeline name or path.

    Raises:
        SpecError: unknown pipeline; lists the known ones.
    """
    text = str(name_or_path)
    if text.endswith((".yaml", ".yml")):
        return Path(text)
    names = {name.lower(): name for name in list_pipelines()}
    if text.lower() not in names:
        raise SpecError(f"unknown pipeline {text!r}; known: {', '.join(list_pipelines())}, or the path of a YAML file")
    return paths.configs() / "pipelines" / f"{names[text.lower()]}.yaml"


def load_pipeline(source: str | Path | dict[str, Any]) -> PipelineConfig:
    """Validate a pipeline given by name, path or as plain containers."""
    data = source if isinstance(source, dict) else read_yaml(pipeline_file(source))
    where = "config" if isinstance(source, dict) else str(source)
    name = data.get("pipeline_name") if isinstance(data, dict) else None
    if name == STRUCTURE_V3:
        name, data = "structure", structure_of(data, where)
    if not isinstance(name, str) or name not in SPECS:
        raise SpecError(f"{where}: pipeline_name {name!r} is not known; known: {', '.join((*SPECS, STRUCTURE_V3))}")
    return parse(SPECS[name], data, where)


T = TypeVar("T", bound=BaseModel)


def parse(kind: type[T], data: Any, where: str) -> T:
    """Validate; errors name `where`, the key and the allowed keys."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise SpecError(f"{where}: {explain(error, kind)}") from None


S = TypeVar("S", bound=PipelineConfig)


def override_models(spec: S, overrides: dict[str, Any]) -> tuple[S, dict[str, Any]]:
    """Apply `text_detection_model_name`, `..._model_dir`, `..._batch_size` and the like; returns what is left over."""
    data, rest = spec.model_dump(), {}
    for key, value in overrides.items():
        field = next((f for f in ("model_name", "model_dir", "batch_size", "charset") if key.endswith(f"_{f}")), "")
        stem = key.removesuffix(f"_{field}")
        if stem not in spec.short or not field:
            rest[key] = value
        elif value is not None:
            node = data
            for part in spec.short[stem]:
                node[part] = node.get(part) or {}
                node = node[part]
            node[field] = value
            if field.startswith("model_"):  # by index of another model's classes
                own = (key for key, setting in node.items() if isinstance(setting, dict))
                node.update(dict.fromkeys(own))
            if field == "model_dir" and not overrides.get(f"{stem}_model_name"):
                node["model_name"] = ""  # the weights say which model they are
            if field == "model_name" and not overrides.get(f"{stem}_model_dir"):
                node["model_dir"] = None  # the file's weights are another model's
    return parse(type(spec), data, "create_pipeline"), rest
