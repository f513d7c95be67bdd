"""YAML files of specs and recipes: reading, inheritance by `extends`, overrides `a.b=c`, and messages about what is
wrong in them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from ptocr.errors import SpecError

DEEPEST = 100
MOST_VALUES = 1_000_000
# libyaml's parser is several times as fast; builds of PyYAML without it have Python's alone
_SafeLoader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> Any:
    """Parse a YAML file.

    Raises:
        SpecError: the file is missing or is no YAML; names the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return parse_yaml(text, str(path))
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file") from None
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not a readable YAML file: {error}") from None


def parse_yaml(text: str, where: str, loader: type[Any] = _SafeLoader) -> Any:
    """Parse YAML that somebody else may have written.

    Raises:
        SpecError: it nests too deep, or its aliases stand for too much; `where` names it. yaml.YAMLError: no YAML.
    """
    _require_shallow(text, where)
    data = yaml.load(text, Loader=loader)
    if "*" in text and _amount(data, {}) > MOST_VALUES:
        raise SpecError(f"{where}: its aliases stand for more than {MOST_VALUES} values, which no file of settings has")
    return data


def _amount(data: Any, known: dict[int, int]) -> int:
    """Values that would be there if each alias were written out; more than any where one holds itself."""
    if not isinstance(data, dict | list):
        return 1
    if id(data) not in known:
        known[id(data)] = MOST_VALUES + 1
        known[id(data)] = 1 + sum(_amount(part, known) for part in (data.values() if isinstance(data, dict) else data))
    return known[id(data)]


def _require_shallow(text: str, where: str) -> None:
    """Refuse YAML that is nested deeper than any file of settings: libyaml's composer would overflow the stack.

    Raises:
        SpecError: it is; `where` names it. yaml.YAMLError: no YAML.
    """
    opened = text.count("[") + text.count("{")
    indented = max((len(line) - len(line.lstrip(" -?:")) for line in text.splitlines()), default=0)
    if opened + indented < DEEPEST:  # no need to look closely
        return
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise SpecError(f"{where}: nested more than {DEEPEST} deep, which no file of settings is")


def read_extended(
    path: Path, find: Callable[[str, Path], Path], own: Collection[str] = (), _seen: tuple[Path, ...] = ()
) -> Any:
    """A YAML file with its inheritance resolved: `extends: NAME` takes over what the named file says, group by group,
    and so on to any depth; what the file says itself counts.

    find: the file of a name, given the file that extends it (raises SpecError for unknown ones); own: top-level keys
    that are never inherited. A file that holds no mapping is returned as it is.

    Raises:
        SpecError: unreadable file, unknown name, or files that extend each other.
    """
    data = read_yaml(path)
    if not isinstance(data, dict) or "extends" not in data:
        return data
    if not isinstance(data["extends"], str):
        raise SpecError(f"{path}: extends {data['extends']!r}; give one name")
    base = find(data["extends"], path)
    seen = (*_seen, path.resolve())
    if base.resolve() == path.resolve():
        raise SpecError(f"{path}: extends itself")
    if base.resolve() in seen:
        raise SpecError(f"{path}: extends {data['extends']!r}, which extends this file again")
    inherited = read_extended(base, find, own, seen)
    if not isinstance(inherited, dict):
        raise SpecError(f"{base}: a mapping of settings is needed, this is {type(inherited).__name__}")
    kept = {key: value for key, value in inherited.items() if key not in own}
    return merged(kept, {key: value for key, value in data.items() if key != "extends"})


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the settings of `own`, group by group; lists are replaced as a whole."""
    result = dict(base)
    for key, value in own.items():
        nested = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = merged(base[key], value) if nested else value
    return result


def override(data: dict[str, Any], texts: Iterable[str]) -> None:
    """Put `key.sub=value` texts (values are YAML) into nested containers.

    Raises:
        SpecError: a text without `=`, or a key below a value; names it.
    """
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise SpecError(f"override {text!r}: write key=value, for example optim.lr=1e-4")
        *parents, last = key.split(".")
        place = data
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise SpecError(f"override {text!r}: {parent!r} holds a value, not a group of settings")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            raise SpecError(f"override {text!r}: the value is no YAML") from None
        if isinstance(parsed, str):  # YAML 1.1 reads 1e-4 as text
            with contextlib.suppress(ValueError):
                parsed = float(parsed)
        place[last] = parsed


def explain(error: ValidationError, kind: type[BaseModel], where: str = "") -> str:
    """One line per problem: the key, what is wrong with it and the value, or the allowed keys where one is unknown."""
    lines = []
    for problem in error.errors():
        keys = ".".join([where, *map(str, _keys(kind, problem["loc"]))]).strip(".")
        text = problem["msg"].removeprefix("Value error, ")
        given = problem["input"]
        if problem["type"] == "extra_forbidden":
            text = f"unknown key; allowed: {', '.join(_fields_at(kind, problem['loc'][:-1]))}"
        elif problem["type"] not in ("missing", "value_error") and (given is None or isinstance(given, _PLAIN)):
            text = f"{text}, got {given!r}"
        lines.append(f"{keys}: {text}" if keys else text)
    return "; ".join(lines)


_PLAIN = (bool, int, float, str)


def _keys(kind: type[BaseModel], loc: tuple[int | str, ...]) -> list[int | str]:
    """The keys of a problem as they stand in the file: pydantic adds the names of a union's members."""
    keys: list[int | str] = []
    at: list[type[BaseModel]] = [kind]
    for part in loc:
        fields = [k.model_fields[part] for k in at if isinstance(part, str) and part in k.model_fields]
        if fields:
            at = [found for field in fields for found in _models(field.annotation)]
        elif isinstance(part, str) and len(keys) and len(at) and part in {_tag(k) for k in at}:
            at = [k for k in at if _tag(k) == part]
            continue
        keys.append(part)
    return keys


def _fields_at(kind: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    at: list[type[BaseModel]] = [kind]
    for part in loc:
        fields = [k.model_fields[part] for k in at if isinstance(part, str) and part in k.model_fields]
        tagged = [k for k in at if _tag(k) == part]
        at = [found for field in fields for found in _models(field.annotation)] or tagged or at
    return sorted({name for k in at for name in k.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The model classes that an annotation names."""
    if get_origin(annotation) in (Union, UnionType):
        return [found for part in get_args(annotation) for found in _models(part)]
    if get_args(annotation) and hasattr(annotation, "__metadata__"):
        return _models(get_args(annotation)[0])
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def _tag(kind: type[BaseModel]) -> str:
    """What pydantic calls a member of a union: the constant that tells it apart, else the name of its class."""
    field = kind.model_fields.get("name")
    return str(field.default) if field is not None and isinstance(field.default, str) else kind.__name__
