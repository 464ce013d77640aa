"""A program's flow as a graph: what it says, asks and decides, its calls, loops and jumps; and as Mermaid.

What does not belong here: reading it off a file (``flow``), and the picture (``picture``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Edge", "Graph", "Kind", "Node"]

Kind = Literal["start", "end", "say", "think", "decide", "loop", "call", "place"]

_SHAPES: dict[Kind, tuple[str, str]] = {
    "start": ("([", "])"),
    "end": ("([", "])"),
    "say": ("[/", "/]"),
    "think": ("(", ")"),
    "decide": ("{", "}"),
    "loop": ("{{", "}}"),
    "call": ("[[", "]]"),
    "place": (">", "]"),
}


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the program.

    Attributes:
        key: Unique in the graph.
        function: Name of the function that it stands in.
        kind: ``start``, ``end``, ``say``, ``think``, ``decide``, ``loop``, ``call`` or ``place``.
        text: What it says, asks or calls, one line, shortened.
        line: Line in the file.
        address: Its ``ADDRESS``, or ``None``.
        supervisor: Name of its supervisor, or ``None``.
    """

    key: str
    function: str
    kind: Kind
    text: str
    line: int
    address: str | None = None
    supervisor: str | None = None

    @property
    def title(self) -> str:
        """The text with its address and supervisor, on lines of their own."""
        more = [f"@{self.address}"] if self.address else []
        more += [f"supervised by {self.supervisor}"] if self.supervisor else []
        return "\n".join([self.text, *more])


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from one node to another: ``kind`` is ``next``, ``jump`` or ``call``."""

    source: str
    target: str
    label: str = ""
    kind: Literal["next", "jump", "call"] = "next"


@dataclass(slots=True)
class Graph:
    """A program's flow.

    Attributes:
        name: The file's stem.
        functions: The functions that are shown, the root first.
        nodes: The places, in the order of the source.
        edges: The ways between them.
    """

    name: str
    functions: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    def mermaid(self) -> str:
        """Return the graph as a Mermaid flow chart."""
        lines = ["flowchart TD"]
        for function in self.functions:
            lines.append(f'    subgraph {_key(function)}["{function}()"]')
            for node in self.nodes:
                if node.function == function:
                    left, right = _SHAPES[node.kind]
                    lines.append(f'        {node.key}{left}"{_escaped(node.title)}"{right}')
            lines.append("    end")
        arrows = {"next": "-->", "jump": "-.->", "call": "==>"}
        for edge in self.edges:
            label = f'|"{_escaped(edge.label)}"|' if edge.label else ""
            lines.append(f"    {edge.source} {arrows[edge.kind]}{label} {edge.target}")
        return "\n".join(lines) + "\n"

    def svg(self) -> str:
        """Return the graph as an SVG picture that stands alone."""
        from autograms.program.picture import draw

        return draw(self)


def _escaped(text: str) -> str:
    for character, entity in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;"), ("`", "#96;")):
        text = text.replace(character, entity)
    return text.replace("\n", "<br/>")


def _key(function: str) -> str:
    return f"f_{function}"
