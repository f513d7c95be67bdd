"""What `ptocr ocr` reads and where it writes, settled before any work: no output is an input, none is replaced unasked,
all can be written.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from ptocr.cli.arguments import meant
from ptocr.cli.guard import say
from ptocr.document.writers import SUFFIXES, suffix_of
from ptocr.errors import InputError, SpecError
from ptocr.files import path_key, require_writable, same_file
from ptocr.inputs.read import count_below, find_files
from ptocr.inputs.url import is_url

PRINTED = ("text", "json", "paddlex")  # formats of standard output alone
_SUFFIX = {"alto": ".alto.xml", "text": ".txt"}
# NAME_res.json and NAME_ocr_res_img.png of `save_to_json` and `save_to_img`, with the page's number and ~2 ... between
_DERIVED = re.compile(r"(?P<stem>.+?)(_\d+)?(~\d+)?_(res\.json|(ocr_res|preprocessed)_img\.\w+)")


@dataclass(frozen=True)
class Source:
    """One thing to read. value: what `iter_pages` takes; below: its place below the folder that was given."""

    name: str
    value: Any
    below: PurePath


@dataclass(frozen=True)
class Targets:
    """Where results go. files: for all pages; folders: a file per input and suffix; printed: format of standard output;
    save_path: PaddleX's files."""

    files: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()
    suffixes: tuple[str, ...] = ()
    printed: str | None = None
    save_path: Path | None = None


@dataclass(frozen=True)
class Plan:
    """Sources in order, each with the files that are its own; unreadable ones stand in their place as errors."""

    sources: tuple[Source | InputError, ...]
    inputs: InputFiles
    targets: Targets
    files_of: dict[int, tuple[Path, ...]] = field(default_factory=dict)
    done: int = 0

    @property
    def taken(self) -> set[str]:
        """Keys of all files that are planned."""
        own = (path for paths in self.files_of.values() for path in paths)
        return {path_key(path) for path in (*self.targets.files, *own)}


def make_plan(args: argparse.Namespace) -> Plan:
    """Look at inputs and outputs.

    Raises:
        SpecError: outputs that make no sense, exist, or are inputs. OSError: an output cannot be written.
    """
    targets = targets_of(args.output, args.format, args.save_path)
    written = (*map(str, targets.files), *targets.suffixes, f".{targets.printed}")
    if args.existing_text and not any(name.lower().endswith(".pdf") for name in written):
        raise SpecError("--existing_text is about a searchable PDF; write one with --output FILE.pdf or --format pdf")
    if args.resume and (not targets.folders or targets.files or targets.printed or targets.save_path):
        raise SpecError("--resume needs one file per input and no other output: --output FOLDER/")
    if args.resume and args.overwrite:
        raise SpecError("--resume keeps what is there, --overwrite replaces it; give one of them")
    given = [*args.inputs, *args.input]
    sources = tuple(_sources(given, bool(args.recursive), targets))
    inputs = InputFiles(sources, given)
    names = name_sources(sources) if targets.folders else {}
    files_of = {
        number: tuple(folder / f"{name}{suffix}" for folder in targets.folders for suffix in targets.suffixes)
        for number, name in names.items()
    }
    outputs = [*targets.files, *(path for paths in files_of.values() for path in paths)]
    _refuse_inputs(outputs, targets.save_path, inputs)
    done = 0
    if args.resume:
        left = {number: tuple(p for p in paths if not _complete(p)) for number, paths in files_of.items()}
        kept = [s for number, s in enumerate(sources) if left.get(number, True)]
        done, numbers = len(sources) - len(kept), [n for n in range(len(sources)) if left.get(n, True)]
        files_of = {new: left[old] for new, old in enumerate(numbers) if old in left}
        sources = tuple(kept)
    elif not args.overwrite:
        _refuse_existing(outputs, targets)
    _try_outputs(targets, files_of)
    return Plan(sources, inputs, targets, files_of, done)


def targets_of(outputs: Sequence[str], formats: str | None, save_path: str | None) -> Targets:
    """Sort `--output`, `--format` and `--save_path`. Raises SpecError for what does not go together."""
    kinds = tuple(_format(name) for name in formats.split(",")) if formats else ()
    files = tuple(Path(o) for o in outputs if o != "-" and not _is_folder(o))
    folders = tuple(Path(o) for o in outputs if o != "-" and _is_folder(o))
    for number, path in enumerate(files):
        try:
            suffix_of(path)
        except ValueError as error:
            raise SpecError(f"{error}; a folder ends in /") from None
        if any(same_file(path, other) for other in files[:number]):
            raise SpecError(f"{path}: given twice as --output")
    prints = "-" in outputs or (not outputs and (save_path is None or bool(kinds)))
    if prints and len(kinds) > 1:
        raise SpecError(f"standard output takes one format, not {formats}; --output FOLDER/ takes several")
    if kinds and not prints and not folders:
        raise SpecError(
            f"--format {formats}: the name of {files[0]} says its format; --format is for --output FOLDER/ and -"
        )
    if folders and "paddlex" in kinds:
        raise SpecError("--format paddlex is for standard output; --save_path FOLDER writes PaddleX's files")
    return Targets(
        files=files,
        folders=folders,
        suffixes=tuple(dict.fromkeys(_SUFFIX.get(k, f".{k}") for k in kinds or ("txt",))) if folders else (),
        printed=(kinds[0] if kinds else "text") if prints else None,
        save_path=Path(save_path) if save_path else None,
    )


def _is_folder(output: str) -> bool:
    path = Path(output)
    return output.endswith(("/", os.sep)) or path.is_dir() or (not path.suffix and not path.name.startswith("."))


def _format(name: str) -> str:
    name = name.strip().lower().removeprefix(".")
    if name not in PRINTED and _SUFFIX.get(name, f".{name}") not in SUFFIXES:
        known = dict.fromkeys([*PRINTED, "alto", *(suffix[1:] for suffix in SUFFIXES if suffix != ".alto.xml")])
        raise SpecError(f"--format {name}: not known{meant(name, known) or f'; known: {chr(44).join(known)}'}")
    return name


# ------------------------------------------------------------------------------------------------------------- sources


def _sources(inputs: Iterable[str], recursive: bool, targets: Targets) -> Iterator[Source | InputError]:
    """Every file and address of the inputs; says what lies unread in subfolders and what is an output."""
    seen: set[str] = set()
    for text in inputs:
        if text == "-":
            yield _standard_input()
            continue
        if not recursive:
            hint_subfolders(text)
        outputs = [path_key(f) + os.sep for f in targets.folders if path_key(f).startswith(path_key(text) + os.sep)]
        left_out = 0
        for found in find_files(text, recursive=recursive):
            if isinstance(found, InputError):
                yield found
            elif outputs and path_key(found.path).startswith(tuple(outputs)):
                left_out += 1
            elif not targets.folders or found.path not in seen:  # given twice: one file cannot be written twice
                seen.add(found.path)
                yield Source(found.path, found.path, found.below)
        if left_out:
            say(f"note: {left_out} files of the output folder lie below {text} and are not read")


def hint_subfolders(folder: str) -> None:
    """Say how many pictures lie unread below an input, where that is a folder."""
    pictures, folders = count_below(folder) if Path(folder).is_dir() else (0, 0)
    if pictures:
        where = f"{folders} subfolder{'' if folders == 1 else 's'}"
        what = "1 picture or PDF" if pictures == 1 else f"{pictures} pictures or PDFs"
        verb, them = ("is", "it") if pictures == 1 else ("are", "them")
        say(f"note: {what} in {where} of {folder} {verb} not read; --recursive reads {them}")


class _NamedBytes(io.BytesIO):
    name = "stdin"


def _standard_input() -> Source | InputError:
    if sys.stdin.isatty():
        raise SpecError("-: standard input is a terminal; pipe a picture or PDF into it")
    return Source("stdin", _NamedBytes(sys.stdin.buffer.read()), PurePath("stdin"))


def name_sources(sources: Sequence[Source | InputError]) -> dict[int, PurePath]:
    """A place below the output folder for each source, without suffix. Where two would share one, both get more of
    their names: the old suffix, the folder they lie in, and at last a hash of their path. Which name a source gets does
    not depend on the order.
    """
    level = {number: 0 for number, source in enumerate(sources) if isinstance(source, Source)}
    names = {number: _LEVELS[0](sources[number]) for number in level}
    for _ in range(3 * len(_LEVELS)):
        shared = Counter(path_key(name) for name in names.values())
        clashing = [n for n, name in names.items() if shared[path_key(name)] > 1 and level[n] + 1 < len(_LEVELS)]
        if not clashing:
            break
        for number in clashing:
            level[number] += 1
            names[number] = _LEVELS[level[number]](sources[number])
    return names


def _folder_of(source: Source) -> str:
    return PurePath(source.name if is_url(source.name) else os.path.abspath(source.name)).parent.name or "root"


def _hash_of(source: Source) -> str:
    where = source.name if is_url(source.name) else os.path.abspath(source.name)
    return hashlib.sha256(os.fsencode(where)).hexdigest()[:8]


_LEVELS: tuple[Callable[[Any], PurePath], ...] = (
    lambda source: source.below.with_name(source.below.stem),
    lambda source: source.below,
    lambda source: source.below.with_name(_folder_of(source)) / source.below.name,
    lambda source: source.below.with_name(f"{source.below.name}~{_hash_of(source)}"),
)


# ------------------------------------------------------------------------------------------------------------ refusals


def _refuse_inputs(outputs: Sequence[Path], save_path: Path | None, inputs: InputFiles) -> None:
    """Raises SpecError when writing would replace something that is to be read."""
    for path in outputs:
        if path in inputs:
            raise SpecError(f"{path}: is an input and would be overwritten; give another --output")
    if save_path is not None:
        refuse_derived(save_path, inputs.names, "--save_path", _DERIVED)


class InputFiles:
    """The files that are read, however a path to one of them is written. Missing ones count: they may appear."""

    def __init__(self, sources: Sequence[Source | InputError], given: Sequence[str]) -> None:
        read = [source for source in sources if isinstance(source, Source)]
        self.names = [name for name in (*given, *(source.name for source in read)) if not is_url(name)]
        self._keys = {path_key(name) for name in self.names}
        self._inodes = {_inode(name) for name in self.names} - {None}
        if any(isinstance(source.value, _NamedBytes) for source in read):
            self._inodes.add(_inode(0))

    def __contains__(self, path: Path) -> bool:
        return path_key(path) in self._keys or _inode(path) in self._inodes


def _inode(path: str | Path | int) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def refuse_derived(folder: Path, names: Sequence[str], option: str, derived: re.Pattern[str]) -> None:
    """Refuse to work where results could overwrite inputs.

    derived: names of results, with the `stem` of their input where that is in them; option: which names the folder.

    Raises:
        SpecError: an input in `folder` has the name of a result, of another input where that matters.
    """
    stems = {PurePath(name).stem for name in names}
    for name in names:
        match = derived.fullmatch(PurePath(name).name)
        if match is None or match.groupdict().get("stem", next(iter(stems))) not in stems:
            continue
        if same_file(PurePath(name).parent, folder):
            raise SpecError(f"{name}: is an input and would be overwritten by a result; give another {option}")


def _complete(path: Path) -> bool:
    """Files appear complete or not at all; an empty one is none of ours."""
    return path.is_file() and path.stat().st_size > 0


def _refuse_existing(outputs: Sequence[Path], targets: Targets) -> None:
    there = [path for path in outputs if os.path.lexists(path)]
    if not there:
        return
    count = f" and {len(there) - 1} other outputs" if len(there) > 1 else ""
    verb = "exist" if len(there) > 1 else "exists"
    goes_on = " --resume keeps them and reads the rest," if targets.folders and not targets.files else ""
    raise SpecError(f"{there[0]}{count} {verb} already and nothing was read;{goes_on} --overwrite replaces")


def _try_outputs(targets: Targets, files_of: dict[int, tuple[Path, ...]]) -> None:
    """Raises OSError where one of the outputs cannot be written."""
    for path in targets.files:
        require_writable(path)
    own = [path for paths in files_of.values() for path in paths]
    for folder in dict.fromkeys(path.parent for path in own):
        require_writable(folder / "page")
    for path in own:
        if path.is_dir():
            raise SpecError(f"{path}: is a folder")
    if targets.save_path is not None:
        require_writable(targets.save_path / "page")
