"""Settings of preprocessing and postprocessing: one validated class each, with the ranges of their values.

Here are those of detectors and recognisers of lines and formulas, which come in many kinds. Those of a task whose
models all want the same stand beside the task's row (`tasks.py`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from typing_extensions import Self

from ptocr.errors import SpecError
from ptocr.spec.vocabulary import LAYOUTS
from ptocr.spec.yaml import explain

# Ranges that specs, pipeline files and options of a call share.
Positive = Annotated[int, Field(ge=1)]
SideLimit = Annotated[int, Field(ge=32)]  # networks that find text halve their picture five times
PixelLimit = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Ratio = Annotated[float, Field(gt=0)]
MergeMode = Literal["union", "large", "small"]  # of regions that lie in one another: both, the outer, the inner one
Growth = Ratio | tuple[Ratio, Ratio]  # of a region, in both directions or in width and height
LimitType = Literal["max", "min", "resize_long", "resize_short"]
Shape = tuple[Positive, Positive, Positive]  # (C, H, W)


class Settings(BaseModel):
    """Base of everything that is validated: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def with_(self, **changes: Any) -> Self:
        """These settings with some values changed, validated like a file's.

        Raises:
            SpecError: unknown key or impossible value; names both.
        """
        if not changes:
            return self
        kind = type(self)
        try:
            return kind.model_validate({**{key: getattr(self, key) for key in kind.model_fields}, **changes})
        except ValidationError as error:
            raise SpecError(explain(error, kind)) from None


class Normalize(Settings):
    """y = (x * scale - mean) / std per channel; mean and std stand in the channel order `order`."""

    mean: tuple[float, float, float]
    std: tuple[Ratio, Ratio, Ratio]
    scale: Ratio = 1 / 255
    order: Literal["bgr", "rgb"] = "bgr"


HALF = Normalize(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
IMAGENET = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


# ------------------------------------------------------------------------------------------------------- preprocessing


class Preprocess(Settings):
    """Base of the settings of preprocessing."""

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """The input size (C, H, W) that the settings ask for, None where the picture decides."""
        return None

    @property
    def fixed(self) -> bool:
        """Whether `shape` is the only size that the network takes."""
        return False

    @property
    def step(self) -> int:
        """What the sides of the input are multiples of, where these vary."""
        return 1


class SRPreprocess(Preprocess):
    """Input of text super-resolution: height and width of `image_shape`, aspect ratio not kept, RGB in [0, 1]."""

    image_shape: Shape = (3, 16, 64)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.image_shape


class FormulaPreprocess(Preprocess):
    """Formula input: margins cut off, within height and width of `image_shape`, on black, grey, normalised (upstream
    UniMERNetImgDecode, UniMERNetTestTransform)."""

    image_shape: Shape = (1, 384, 384)
    mean: float = 0.7931
    std: Ratio = 0.1738

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.image_shape


class DetPreprocess(Preprocess):
    """Detector input: sides limited, rounded to multiples of `stride` (upstream DetResizeForTest), then normalised.

    rounding: to the nearest multiple or to the next one, upwards. max_pixels bounds the memory of large pages (about
    200 MB a megapixel for the mobile models); 0 lifts the bound, as upstream has none.
    """

    limit_side_len: Positive = 960
    limit_type: LimitType = "max"
    max_side_limit: SideLimit = 4000
    max_pixels: PixelLimit = 4_000_000
    stride: Annotated[int, Field(ge=32, le=1024, multiple_of=32)] = 32
    rounding: Literal["nearest", "up"] = "nearest"
    normalize: Normalize = IMAGENET

    @property
    def step(self) -> int:
        return self.stride


class RecPreprocess(Preprocess):
    """Recogniser input.

    resize "line": height fixed, width by aspect ratio, zero padding on the right, no more than `max_width`. The others
    give `image_shape` whatever the line is: "stretch" without its aspect ratio (upstream SVTRRecResizeImg and many
    more), "padded" by aspect ratio as far as it goes, then zeros (RARE), "steps" in one of four aspect ratios, then
    zeros (SRNRecResizeImg), "bounded" by aspect ratio between `min_width` and all of it, then -1 (SARRecResizeImg).
    "inverted" leaves the picture as large as it is and turns black into white (CAN). One channel means grey.
    interpolation: OpenCV's, or Pillow's where it begins with "pil".
    """

    image_shape: Shape = (3, 48, 320)
    max_width: Positive = 3200
    resize: Literal["line", "stretch", "padded", "steps", "bounded", "inverted"] = "line"
    min_width: Positive = 48
    interpolation: Literal["linear", "cubic", "pil_bicubic", "pil_lanczos"] = "linear"
    normalize: Normalize = HALF

    @model_validator(mode="after")
    def _line(self) -> RecPreprocess:
        plain = self.interpolation == "linear" and self.normalize == HALF and self.image_shape[0] == 3
        if self.resize == "line" and not plain:
            raise ValueError("resize 'line' goes with three channels, linear interpolation and (x / 255 - 0.5) / 0.5")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.image_shape

    @property
    def fixed(self) -> bool:
        return self.resize != "line"


# ------------------------------------------------------------------------------------------------------ postprocessing


class Postprocess(Settings):
    """Base of the settings of postprocessing; `name` says which one it is."""

    name: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the network's classes, empty where these are characters or there are none."""
        return ()


class DetPostprocess(Postprocess):
    """What the postprocessing of every detector has. thresh: least value of a pixel of text; box_thresh: least score of
    a region; box_type: four corners or outlines."""

    thresh: float
    box_thresh: Share
    box_type: Literal["quad", "poly"] = "quad"


class DBPostprocess(DetPostprocess):
    """Differentiable binarization: text polygons of a probability map (arXiv 1911.08947; upstream: DBPostProcess).

    thresh: a pixel is text above it; box_thresh: least mean probability of a box; unclip_ratio: how far the shrunk
    text kernels are grown; max_candidates: so many contours are looked at; use_dilation: 2x2 dilation of the mask;
    score_mode "fast" averages inside the box, "slow" inside the contour (polygons are always scored inside the
    polygon); min_size: least side of a kernel in pixels of the map.
    """

    name: Literal["db"] = "db"
    thresh: Share = 0.3
    box_thresh: Share = 0.6
    unclip_ratio: Ratio = 1.5
    max_candidates: Positive = 1000
    use_dilation: bool = False
    score_mode: Literal["fast", "slow"] = "fast"
    min_size: Positive = 3


class PSEPostprocess(DetPostprocess):
    """Progressive scale expansion: regions of the smallest kernel, grown through the others (arXiv 1903.12473).

    thresh: a pixel belongs to a kernel above it (logits); box_thresh: least mean probability of a region; min_area:
    least number of its pixels; scale: the maps are enlarged by 4 / scale first. Upstream: PSEPostProcess.
    """

    name: Literal["pse"] = "pse"
    thresh: float = 0.0
    box_thresh: Share = 0.85
    min_area: Annotated[float, Field(ge=0)] = 16.0
    scale: Literal[1, 2, 4] = 1


class EASTPostprocess(DetPostprocess):
    """Locality-aware non-maximum suppression of the quads that every pixel votes for (arXiv 1704.03155).

    thresh: least score of a pixel that votes; box_thresh: least mean score inside a quad; nms_thresh: overlap from
    which on quads are one. Upstream: EASTPostProcess (there called score_thresh, cover_thresh, nms_thresh).
    """

    name: Literal["east"] = "east"
    thresh: Share = 0.8
    box_thresh: Share = 0.1
    nms_thresh: Share = 0.2

    @field_validator("box_type")
    @classmethod
    def _quads_alone(cls, value: str) -> str:
        if value != "quad":
            raise ValueError("EAST finds quads alone")
        return value


class CTPostprocess(DetPostprocess):
    """Centripetal text: kernels, and pixels that belong to the kernel they are shifted to (arXiv 2107.05945).

    thresh: a pixel belongs to a kernel above it (logits); box_thresh: least mean probability of a kernel; min_kernel:
    least number of its pixels; min_area: least number of a region's, of the network's input. Upstream: CTPostProcess.
    """

    name: Literal["ct"] = "ct"
    thresh: float = 0.2
    box_thresh: Share = 0.88
    box_type: Literal["quad", "poly"] = "poly"
    min_kernel: Positive = 10
    min_area: Annotated[float, Field(ge=0)] = 16.0


class DRRGPostprocess(DetPostprocess):
    """Components along the middle of texts, linked by a graph network (arXiv 2003.07493).

    thresh, center_thresh: least probabilities of a pixel of text and of its middle; component_thresh: least probability
    of text where a component is proposed; nms_thresh: overlap from which on components are one; max_candidates: so many
    components are looked at; link_thresh: least probability that two belong together; box_thresh: least mean
    probability of a text. Upstream: DRRGHead, DRRGPostprocess.
    """

    name: Literal["drrg"] = "drrg"
    thresh: Share = 0.3
    center_thresh: Share = 0.4
    component_thresh: Share = 0.3
    box_thresh: Share = 0.0
    box_type: Literal["quad", "poly"] = "poly"
    nms_thresh: Share = 0.3
    link_thresh: Share = 0.8
    max_candidates: Positive = 3000


class FCEPostprocess(DetPostprocess):
    """Contours from the Fourier coefficients of every sure pixel, the best of those that overlap (arXiv 2104.10442).

    thresh: least score of a pixel, its probability of text to the power `alpha` times that of a text's centre to the
    power `beta`; box_thresh: least score of a contour; nms_thresh: overlap from which on contours are one; scales: of
    each map, how many times the network's input is as high and wide; fourier_degree: of the contours;
    num_reconstr_points: their corners. Upstream: FCEPostProcess.
    """

    name: Literal["fce"] = "fce"
    thresh: Share = 0.3
    box_thresh: Share = 0.0
    box_type: Literal["quad", "poly"] = "poly"
    nms_thresh: Share = 0.1
    alpha: Ratio = 1.0
    beta: Ratio = 1.0
    scales: Annotated[tuple[Positive, ...], Field(min_length=1)] = (8, 16, 32)
    fourier_degree: Positive = 5
    num_reconstr_points: Annotated[int, Field(ge=4, le=1000)] = 50

    @model_validator(mode="after")
    def _enough_points(self) -> FCEPostprocess:
        if self.num_reconstr_points <= 2 * self.fourier_degree:
            raise ValueError("num_reconstr_points is more than twice fourier_degree")
        return self


class SASTPostprocess(DetPostprocess):
    """Pixels of centre lines, shared among quads by the centre that each points at (arXiv 1908.05498).

    thresh: least score of a pixel of a centre line; box_thresh: least sum of its scores for the area of a quad;
    nms_thresh: overlap from which on quads are one; sample_pts_num: points of the centre line (0: by its length), two
    for "quad"; expand_scale: borders are moved outwards by so much; shrink_ratio_of_width: ends are moved outwards by
    so many heights. None: 2, 1.0, 0.3 for "quad" and 6, 1.2, 0.2 for "poly". Upstream: SASTPostProcess.
    """

    name: Literal["sast"] = "sast"
    thresh: Share = 0.5
    box_thresh: Share = 0.1
    nms_thresh: Share = 0.2
    sample_pts_num: Annotated[int, Field(ge=0)] | None = None
    expand_scale: Annotated[float, Field(ge=1)] | None = None
    shrink_ratio_of_width: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _two_pairs_are_a_quad(self) -> SASTPostprocess:
        if self.box_type == "quad" and self.sample_pts_num not in (None, 2):
            raise ValueError("sample_pts_num is 2 where box_type is 'quad'")
        if self.sample_pts_num == 1:
            raise ValueError("sample_pts_num is 0 or at least 2")
        return self

    @property
    def outline(self) -> tuple[int, float, float]:
        """sample_pts_num, expand_scale and shrink_ratio_of_width, as given or those of the box type."""
        own = (self.sample_pts_num, self.expand_scale, self.shrink_ratio_of_width)
        usual = (2, 1.0, 0.3) if self.box_type == "quad" else (6, 1.2, 0.2)
        points, expand, shrink = (u if o is None else o for o, u in zip(own, usual, strict=True))
        return int(points), expand, shrink


class RecPostprocess(Postprocess):
    """Decoding of class sequences. name: the layout of the vocabulary ("ctc", ...); `space` says whether the
    characters end with the space, `right_to_left` that the script does not run from left to right."""

    name: str = "ctc"
    space: bool = True
    right_to_left: bool = False

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in LAYOUTS:
            raise ValueError(f"unknown layout {value!r}; known: {', '.join(LAYOUTS)}")
        return value


class FormulaPostprocess(Postprocess):
    """Tokens of LaTeX, whose pieces are bytes (upstream UniMERNetDecode). space, right_to_left: as of recognisers."""

    name: Literal["unimernet"] = "unimernet"
    space: Literal[False] = False
    right_to_left: Literal[False] = False
