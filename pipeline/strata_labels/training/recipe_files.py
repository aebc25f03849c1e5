"""Reads recipes from TOML files and `--set`, with the origin of each setting.

`recipes/*.toml` ship with the package.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError

from strata_labels.errors import InputError, Problem
from strata_labels.settings import problems_of
from strata_labels.training.idle_settings import idle_settings
from strata_labels.training.recipe import Mode, Recipe

# Keys of a file that are not settings: the recipe it starts from, and tables.
_EXTENDS, _OTHERWISE = "extends", "otherwise"
_TIMM = "timm:"
_ASKED = "--set"
_MODES: tuple[Mode, ...] = get_args(Mode)


class _Setting(NamedTuple):
    """A value and where it is written: a file or `--set`, with the key's full name."""

    key: str
    value: Any
    where: str
    column: str
    mode: Mode | None  # of a section that counts in this mode alone


class _Shipped(NamedTuple):
    """Where a shipped recipe is written.

    `happier-inat-full-eccv2022` is `happier.toml`, then `_inat-full.toml`, then of `happier.toml`
    the table `[inat]`, which is for every data set called `inat-...`, and `[inat.eccv2022]`.
    """

    stem: str
    data_set: str = ""
    tables: tuple[str, ...] = ()


class SettingOrigin(NamedTuple):
    """A setting of a recipe, its value, and the file and key that it comes from, or `default`.

    `idle` says why it changes nothing, and what to do; it is empty if it does. `asked`: it was not
    written in a file.
    """

    key: str
    value: Any
    origin: str
    idle: str
    asked: bool


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the package."""
    return sorted(name for name in _shipped() if not name.startswith("_"))


def load_recipe(name: str | Path, mode: Mode, settings: Iterable[str] = ()) -> Recipe:
    """Reads a recipe for one mode.

    Args:
        name: one of `recipe_names()`, or a file `….toml` of the user's own, which may start from a
            shipped recipe with `extends = "happier"`. A table `[head]` or `[full]` holds settings
            of that mode alone.
        mode: `full` or `head`.
        settings: `key=value` texts that win over the file, values as in TOML (bare text too).

    Raises:
        InputError: no such recipe, unknown keys, wrong types, values out of range or that do not
            go together; all listed.
        ValueError: no such mode.
    """
    return _load(name, mode, settings)[0]


def explain_recipe(
    name: str | Path, mode: Mode, settings: Iterable[str] = ()
) -> list[SettingOrigin]:
    """Every effective setting of a recipe with its origin; arguments as of `load_recipe`."""
    recipe, used = _load(name, mode, settings)
    idle = dict(idle_settings(recipe, mode))
    found = []
    for key, value in recipe.as_dict().items():
        where, column = (used[key].where, used[key].column) if key in used else ("", "")
        origin = f"{where}: {column}" if where else "default"
        found.append(SettingOrigin(key, value, origin, idle.get(key, ""), where == _ASKED))
    return found


def _load(
    path: str | Path, mode: Mode, settings: Iterable[str]
) -> tuple[Recipe, dict[str, _Setting]]:
    """A recipe for one mode, and where its settings are written; those left out are defaults."""
    if mode not in _MODES:
        raise ValueError(f"mode must be {' or '.join(_MODES)}, got {mode!r}")
    name = str(path)
    problems: list[Problem] = []
    read = _read_file(name, problems)
    complete = not problems
    read += _read_settings(settings, problems)
    read = [part for setting in read for part in _timm_parts(setting)]
    found = None
    for each in (mode, *(other for other in _MODES if other != mode)):
        used: dict[str, _Setting] = {}
        for setting in read:
            if setting.mode in (None, each):
                before = used.pop(setting.key, None)  # the place in the order is the last one's
                if before and setting.key == _OTHERWISE:
                    setting = setting._replace(value={**before.value, **setting.value})
                used[setting.key] = setting
        try:
            checked = Recipe.model_validate({key: setting.value for key, setting in used.items()})
            found = found or (checked, used)
        except ValidationError as error:
            # Of the other mode only what is wrong in its own section is new.
            shown = {key for key in used if each == mode or used[key].mode == each}
            # Where a table is none, its settings are not missing.
            defaults = complete and (each == mode or bool(shown))
            wrong = _problems(name, error, used, shown, defaults)
            problems += [one for one in wrong if one not in problems]
    if problems or found is None:
        raise InputError(problems)
    return found


def _timm_parts(setting: _Setting) -> list[_Setting]:
    """A backbone that is written as an encoder of timm, `timm:NAME@FILE`, as its two settings."""
    text = setting.value
    if setting.key != "backbone" or not isinstance(text, str) or not text.startswith(_TIMM):
        return [setting]
    name, _, file = text.removeprefix(_TIMM).partition("@")
    weights = [setting._replace(key="pretrained", value=file)] if file else []
    return [setting._replace(value=name), *weights]


def _problems(
    name: str,
    error: ValidationError,
    used: dict[str, _Setting],
    shown: set[str],
    defaults: bool,
) -> list[Problem]:
    """What is wrong with the settings `shown` and, if asked, defaults, in the settings' order."""
    order = {key: at for at, key in enumerate(used)}
    found = []
    for problem in problems_of(error, f"recipe {name}", Recipe):
        key = str(problem.column).partition(".")[0]
        if key not in shown and (key in used or not defaults):
            continue
        if written := used.get(key):
            problem = replace(problem, where=written.where, column=written.column)
        found.append((order.get(key, len(order)), problem))
    return [problem for _, problem in sorted(found, key=lambda pair: pair[0])]


def _folder() -> Path:
    return Path(str(resources.files("strata_labels.training") / "recipes"))


@cache
def _shipped() -> dict[str, _Shipped]:
    """Every shipped recipe by name; names with `_` in front are what others start from."""
    contents = {path.stem: _parse(path) for path in _folder().glob("*.toml")}
    data_sets = [stem.removeprefix("_") for stem, text in contents.items() if "data_set" in text]
    found = {stem: _Shipped(stem) for stem in contents}
    for stem, content in contents.items():
        for data_set in data_sets:
            table = next((key for key in (data_set, data_set.split("-")[0]) if key in content), "")
            if table:
                name = f"{stem}-{data_set}"
                found[name] = _Shipped(stem, data_set, (table,))
                for key, value in content[table].items():
                    if isinstance(value, dict) and key != _OTHERWISE:
                        found[f"{name}-{key}"] = _Shipped(stem, data_set, (table, key))
    return found


def _parse(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _read_file(name: str, problems: list[Problem], above: tuple[str, ...] = ()) -> list[_Setting]:
    """The settings of a recipe after those of the recipe it extends; later ones win.

    Raises:
        InputError: a file cannot be read. It is named alone: what its settings would have been,
            other settings depend on.
    """
    own = name.endswith(".toml")
    shipped = _Shipped("") if own else _shipped().get(name)
    path = Path(name) if own else _folder() / f"{shipped.stem if shipped else name}.toml"
    if shipped is None or not path.is_file():
        fix = f"Take one of {', '.join(recipe_names())}, or a file of your own ending in .toml."
        raise InputError(Problem("--recipe", "no such recipe:", fix, value=name))
    if name in above:
        raise InputError(Problem(path, "extends itself", "Let it start from another recipe."))
    try:
        content = _parse(path)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(Problem(path, f"not TOML ({error})", "Correct the line.")) from error
    where = str(path) if own else path.name
    settings: list[_Setting] = []
    base = content.pop(_EXTENDS, None)
    if isinstance(base, str):
        settings = _read_file(base, problems, (*above, name))
    elif base is not None:
        raise InputError(Problem(where, "not text:", "Name a recipe.", None, _EXTENDS, base))
    if own:
        return settings + _flat(content, where, "", problems)
    tables = {key for key, value in content.items() if isinstance(value, dict)}
    of_data_sets = {key: content.pop(key) for key in tables - {*_MODES, _OTHERWISE}}
    settings += _flat(content, where, "", problems)
    if shipped.data_set:
        settings += _read_file(f"_{shipped.data_set}", problems)
    for depth, key in enumerate(shipped.tables):
        of_data_sets = of_data_sets[key]
        plain = {
            k: v for k, v in of_data_sets.items() if not isinstance(v, dict) or k == _OTHERWISE
        }
        settings += _flat(plain, where, ".".join(shipped.tables[: depth + 1]) + ".", problems)
    return settings


def _flat(
    table: dict[str, Any], where: str, prefix: str, problems: list[Problem]
) -> list[_Setting]:
    """The settings of a table, then those of its tables `[full]` and `[head]`."""
    settings = [
        _Setting(key, value, where, f"{prefix}{key}", None)
        for key, value in table.items()
        if key not in _MODES
    ]
    for mode in _MODES:
        section = table.get(mode, {})
        if not isinstance(section, dict):
            problems.append(Problem(where, "not a table:", f"Write [{mode}].", None, mode, section))
            continue
        settings += [
            _Setting(key, value, where, f"{mode}.{key}", mode) for key, value in section.items()
        ]
    return settings


def _read_settings(texts: Iterable[str], problems: list[Problem]) -> list[_Setting]:
    """Settings of the command line, `key=value`."""
    settings = []
    for text in texts:
        key, equals, written = (part.strip() for part in text.partition("="))
        if not equals:
            problems.append(Problem(_ASKED, "not key=value:", "Write lr=1e-4.", value=text))
            continue
        try:
            value = tomllib.loads(f"value = {written}")["value"]
        except (tomllib.TOMLDecodeError, KeyError):
            value = written
        settings.append(_Setting(key, value, _ASKED, key, None))
    return settings
