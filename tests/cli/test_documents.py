"""What README, docs and Makefile name exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import typer.main

from autograms.cli.main import COMMANDS, build_app

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_commands_and_flags_exist(document: Path) -> None:
    text = document.read_text().replace("\\\n", " ")
    group = typer.main.get_command(build_app())
    for line in text.splitlines():
        for name, rest in re.findall(r"(?:^|bin/|`)autograms ([a-z]+)([^#`]*)", line.strip()):
            assert name in COMMANDS, line
            flags = {flag for parameter in group.commands[name].params for flag in _names(parameter)}
            for flag in re.findall(r"--[a-z_]+", rest):
                assert flag in flags, f"{name}: {flag}"


def _names(parameter: object) -> list[str]:
    return [*parameter.opts, *parameter.secondary_opts]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"(?<!!)\[[^]]*\]\(([^)#]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_named_modules_exist() -> None:
    named = set()
    for line in (ROOT / "docs/architecture.md").read_text().splitlines():
        folders = re.findall(r"`([a-z_]+)/[a-z_]+\.py`", line)
        for folder, file in re.findall(r"`(?:([a-z_]+)/)?([a-z_]+\.py)`", line):
            named.add((folder or (folders[0] if folders else "simulation"), file))
    assert len(named) > 20
    for folder, file in named:
        places = [ROOT / "autograms" / folder / file, ROOT / folder / file, ROOT / "autograms" / file]
        assert any(place.is_file() for place in (*places, ROOT / "autograms_assets" / file)), f"{folder}/{file}"


def test_named_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    for document in DOCUMENTS:
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), flags=re.M):
            assert target in targets, f"{document.name}: make {target}"


def test_what_is_depended_on_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = (ROOT / "constraints.txt").read_text().lower().replace("_", "-")
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    for requirement in [*project["dependencies"], *extras]:
        if requirement.startswith(project["name"]):
            continue
        name = re.split(r"[<>=!~\[; ]", requirement)[0].lower().replace("_", "-")
        assert f"\n{name}==" in pins, name


def test_no_pin_names_a_local_build() -> None:
    assert "+" not in (ROOT / "constraints.txt").read_text().split("\n", 1)[1]
