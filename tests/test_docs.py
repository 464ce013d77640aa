"""The examples in docs/language run as they stand: ``# file: NAME`` blocks are files, ``pycon`` blocks are typed in."""

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted((DOCS / "language").glob("*.md"))
_BLOCK = re.compile(r"^```(python|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page):
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def test_one_page_a_group():
    assert {page.stem for page in PAGES} == {
        *("index", "speech", "thought", "decisions", "structured", "direct", "control", "history", "state"),
        *("supervisors", "suspending", "tools"),
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks(page)
    assert any(kind == "pycon" for kind, _ in found)
    names = {"__name__": "docs"}
    for kind, text in found:
        if kind == "python":
            name = re.match(r"# file: (\S+\.py)\n", text)
            assert name, f"{page.name}: a python block begins with '# file: NAME.py'"
            Path(name.group(1)).write_text(text, encoding="utf-8")
            continue
        example = doctest.DocTestParser().get_doctest(text, names, page.name, str(page), 0)
        said = []
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False).run(
            example, out=said.append, clear_globs=False
        )
        assert not said, "".join(said)
        names = example.globs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_primitive_is_described():
    from autograms import functional

    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    missing = [name for name in functional.__all__ if f"`{name}" not in text]
    assert missing == []
