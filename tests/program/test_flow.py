"""A program's flow as a graph, Mermaid and SVG."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from autograms.cli.main import main
from autograms.errors import ProgramFileError
from autograms.program.flow import program_graph
from tests.program.test_properties import programs
from tests.programs import write


def flow(source):
    """Return a graph's edges as ``text -label-> text``, jumps as ``~>``, calls as ``=>``."""
    graph = program_graph(write(source))
    texts = {node.key: node.text for node in graph.nodes}
    arrows = {"next": "->", "jump": "~>", "call": "=>"}
    return [f"{texts[edge.source]} {edge.label}{arrows[edge.kind]} {texts[edge.target]}" for edge in graph.edges]


def root(body):
    return "def chatbot():\n" + "".join(f"    {line}\n" for line in body.strip().splitlines())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("reply('a')\nx = 1\nreply('b')", ["chatbot -> a", "a -> b", "b -> end"]),
        (
            "if yes_or_no('q'):\n    reply('a')\nreply('b')",
            ["chatbot -> q", "q yes-> a", "a -> b", "q no-> b", "b -> end"],
        ),
        ("if x == 1:\n    y = 2\nreply('b')", ["chatbot -> b", "b -> end"]),
        ("if x:\n    return\nreply('b')", ["chatbot -> x", "x no-> b", "b -> end", "x yes-> end"]),
        (
            "for n in xs:\n    reply('a')\n    if n:\n        break\nelse:\n    reply('e')",
            [
                "chatbot -> for n in xs",
                "for n in xs each-> a",
                "a -> n",
                "n no-> for n in xs",
                "for n in xs done-> e",
                "e -> end",
                "n yes-> end",
            ],
        ),
        ("while True:\n    reply('a')", ["chatbot -> again and again", "again and again -> a", "a -> again and again"]),
        (
            "while yes_or_no('more?'):\n    reply('a')",
            [
                "chatbot -> while yes_or_no('more?')",
                "while yes_or_no('more?') -> more?",
                "more? yes-> a",
                "a -> while yes_or_no('more?')",
                "more? done-> end",
            ],
        ),
        (
            "try:\n    reply('a')\nexcept ValueError:\n    reply('b')\nfinally:\n    reply('c')",
            ["chatbot -> a", "a ValueError-> b", "a -> c", "b -> c", "c -> end"],
        ),
        (
            "match x:\n    case 1:\n        reply('a')\n    case _:\n        reply('b')",
            ["chatbot -> x", "x 1-> a", "x _-> b", "a -> end", "b -> end", "x else-> end"],
        ),
        ("reply('a', ADDRESS='top')\nGOTO('top')", ["chatbot -> a", "a ~> a"]),
        (
            "TRANSITION('q', {'yes': 'y', 'no': 'n'})\nreply('a', ADDRESS='y')\nreply('b', ADDRESS='n')",
            ["q yes~> a", "q no~> b", "chatbot -> q", "a -> b", "b -> end"],
        ),
        ("reply(thought('t'))", ["chatbot -> thought: t", "thought: t -> thought('t')", "thought('t') -> end"]),
    ],
)
def test_flows(body, expected):
    assert sorted(flow(root(body))) == sorted(expected)


FUNCTIONS = """
def helper(x):
    return x

@autograms_function()
def ask():
    reply_instruction("Ask.", supervisor=helper)
    RETURNTO("top")

def through():
    ask()

@autograms_function()
def chatbot():
    location(ADDRESS="top")
    helper(1)
    through()
    parallel_wrapper(ask, [{}])
"""


def test_functions_calls_and_returns():
    found = flow(FUNCTIONS)
    assert "through() => through" in found
    assert "ask() side by side => ask" in found
    assert "reply_instruction: Ask. ~> here" in found
    graph = program_graph(write(FUNCTIONS))
    assert graph.functions == ["chatbot", "ask", "through"]
    assert [node.supervisor for node in graph.nodes if node.supervisor] == ["helper"]
    assert [node.address for node in graph.nodes if node.address] == ["top"]


def test_mermaid_escapes_texts():
    text = program_graph(write("def chatbot():\n    reply('say \"hi\" <b> #1 `x`')\n")).mermaid()
    assert text.startswith("flowchart TD\n")
    assert "say #quot;hi#quot; #lt;b#gt; #35;1 #96;x#96;" in text


def test_svg_is_well_formed_and_holds_every_place():
    graph = program_graph(write(FUNCTIONS.replace("Ask.", "Is 1 < 2 & 3?")))
    picture = ElementTree.fromstring(graph.svg())
    texts = {"".join(item.itertext()) for item in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {line for node in graph.nodes for line in node.title.split("\n")} <= texts
    assert "to @top in chatbot()" in texts


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_any_program_has_a_graph(source):
    graph = program_graph(write(source))
    keys = {node.key for node in graph.nodes}
    assert all(edge.source in keys and edge.target in keys for edge in graph.edges)
    ElementTree.fromstring(graph.svg())
    for node in graph.nodes:
        assert node.key in graph.mermaid()


@pytest.mark.parametrize("file", sorted(Path("examples/chatbots").glob("*.py")), ids=lambda path: path.stem)
def test_the_examples_have_graphs(file):
    assert program_graph(file).functions[0] == "chatbot"


@pytest.mark.parametrize(
    ("source", "message"),
    [("def chatbot(:\n", "syntax error"), ("x = 1\n", r"defines no chatbot\(\)"), ("\0", "syntax|source")],
)
def test_files_without_a_flow(tmp_path, source, message):
    (tmp_path / "bot.py").write_text(source)
    with pytest.raises(ProgramFileError, match=message):
        program_graph(tmp_path / "bot.py")
    with pytest.raises(ProgramFileError, match="no autogram at"):
        program_graph(tmp_path / "none.py")


def test_the_command(tmp_path, capsys):
    path = write(FUNCTIONS)
    assert main(["graph", str(path)]) == 0
    assert capsys.readouterr().out == program_graph(path).mermaid()
    assert main(["graph", str(path), "--output", str(tmp_path / "flow.svg")]) == 0
    assert (tmp_path / "flow.svg").read_text() == program_graph(path).svg()
    assert main(["graph", str(tmp_path / "none.py")]) == 2
    assert "no autogram at" in capsys.readouterr().err
