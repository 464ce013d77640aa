"""A program's flow, read off its source: nothing is run.

What does not belong here: what a graph is, and how it is written down (``graph``, ``picture``).
"""

from __future__ import annotations

import ast
from pathlib import Path

from autograms.errors import ProgramFileError
from autograms.program.graph import Edge, Graph, Kind, Node

__all__ = ["program_graph"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("reply", "reply_instruction", "reply_suffix", "EXIT"), "say"),
    **dict.fromkeys(("yes_or_no", "multiple_choice", "multiple_choice_logits", "TRANSITION"), "decide"),
    **dict.fromkeys(("thought", "silent_thought", "thought_chain", "decision_chain"), "think"),
    **dict.fromkeys(("thought_decision_chain", "generate_list", "generate_fixed_list"), "think"),
    **dict.fromkeys(("generate_list_of_choices", "generate_fixed_dict", "generate_list_of_dicts"), "think"),
    **dict.fromkeys(("generate_object", "call_llm", "call_completion", "call_chat_completion"), "think"),
    **dict.fromkeys(("execute_code", "step"), "think"),
    "location": "place",
}
_LONGEST = 48


def program_graph(path: str | Path) -> Graph:
    """Read a program's flow off its file.

    Args:
        path: The file; it must define ``chatbot()``.

    Raises:
        ProgramFileError: Where the file is missing, has a syntax error, or defines no ``chatbot()``.
    """
    file = Path(path)
    try:
        tree = ast.parse(file.read_text(encoding="utf-8-sig"))
    except OSError:
        raise ProgramFileError(f"no autogram at {path}: expected a Python file that defines chatbot()") from None
    except SyntaxError as error:
        raise ProgramFileError(f"{path}:{error.lineno}: syntax error: {error.msg}") from None
    except ValueError as error:
        raise ProgramFileError(f"{path} is no Python source: {error}") from None
    definitions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    if "chatbot" not in definitions:
        raise ProgramFileError(f"{path} defines no chatbot(): expected a function of that name, the program's root")
    graph = Graph(file.stem)
    shown = _flowing(definitions)
    for name in ["chatbot", *(name for name in definitions if name in shown and name != "chatbot")]:
        graph.functions.append(name)
        _Flow(graph, name, shown).function(definitions[name])
    _connect(graph)
    return graph


def _flowing(definitions: dict[str, ast.FunctionDef]) -> set[str]:
    """Return the functions that say, ask or jump, or call one that does."""
    called = {
        name: {_name(call) for call in ast.walk(node) if isinstance(call, ast.Call)}
        for name, node in definitions.items()
    }
    shown = {name for name, names in called.items() if names & {*_KINDS, "GOTO", "RETURNTO"}} | {"chatbot"}
    while True:
        more = {name for name, names in called.items() if names & shown} - shown
        if not more:
            return shown
        shown |= more


def _connect(graph: Graph) -> None:
    """Turn jumps by address and calls by name, noted as ``?address`` and ``!function``, into edges between nodes."""
    starts = {node.function: node.key for node in graph.nodes if node.kind == "start"}
    of = {node.key: node for node in graph.nodes}
    edges = []
    for edge in graph.edges:
        if edge.target.startswith("!"):
            edges.append(Edge(edge.source, starts[edge.target[1:]], edge.label, "call"))
        elif edge.target.startswith(("?", "^")):
            inside = edge.target[0] == "?"
            source = of[edge.source].function
            fits = [n for n in graph.nodes if n.address == edge.target[1:] and (n.function == source) == inside]
            edges += [Edge(edge.source, node.key, edge.label, "jump") for node in fits]
        else:
            edges.append(edge)
    graph.edges = list(dict.fromkeys(edges))


Ends = list[tuple[str, str]]
"""Ways that lead on: a node and the label of the way out of it."""


class _Flow:
    """Follows the statements of one function."""

    def __init__(self, graph: Graph, name: str, shown: set[str]) -> None:
        self.graph = graph
        self.name = name
        self.shown = shown
        self.leaving: Ends = []
        self.loops: list[tuple[str | None, Ends]] = []

    def function(self, definition: ast.FunctionDef) -> None:
        """Add a function's nodes and edges."""
        start = self.node("start", self.name, definition)
        ends = self.block(definition.body, [(start, "")])
        if ends or self.leaving:
            self.join([*ends, *self.leaving], self.node("end", "end", definition))

    # ------------------------------------------------------------------------------------------- nodes and edges

    def node(self, kind: Kind, text: str, at: ast.AST, **more: str | None) -> str:
        key = f"n{len(self.graph.nodes) + 1}"
        self.graph.nodes.append(Node(key, self.name, kind, _short(text), getattr(at, "lineno", 0), **more))
        return key

    def join(self, ends: Ends, target: str) -> Ends:
        for source, label in dict.fromkeys(ends):
            self.graph.edges.append(Edge(source, target, label))
        return [(target, "")]

    # ------------------------------------------------------------------------------------------------ statements

    def block(self, statements: list[ast.stmt], ends: Ends) -> Ends:
        for statement in statements:
            ends = self.statement(statement, ends)
        return ends

    def statement(self, node: ast.stmt, ends: Ends) -> Ends:
        match node:
            case ast.If():
                return self.branch(node.test, [("yes", node.body), ("no", node.orelse)], ends)
            case ast.Match():
                cases = [(ast.unparse(case.pattern), case.body) for case in node.cases]
                return self.branch(node.subject, [*cases, ("else", [])], ends)
            case ast.For() | ast.While():
                return self.loop(node, ends)
            case ast.Try() | ast.TryStar():
                return self.attempt(node, ends)
            case ast.With():
                for item in node.items:
                    ends = self.calls(item.context_expr, ends)
                return self.block(node.body, ends)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return ends
            case ast.Return():
                self.leaving += self.calls(node, ends)
                return []
            case ast.Raise():
                self.calls(node, ends)
                return []
            case ast.Break():
                self.loops[-1][1].extend(ends)
                return []
            case ast.Continue():
                if self.loops[-1][0]:
                    self.join(ends, self.loops[-1][0])
                return []
        return self.calls(node, ends)

    def branch(self, test: ast.expr, ways: list[tuple[str, list[ast.stmt]]], ends: Ends) -> Ends:
        before = len(self.graph.nodes)
        ends = self.calls(test, ends)
        asks = len(self.graph.nodes) > before and self.graph.nodes[-1].kind == "decide"
        if not asks:
            if not any(_flows(statement, self.shown) for _, body in ways for statement in body):
                return ends
            ends = self.join(ends, self.node("decide", _unparsed(test), test)) if ends else []
        out: Ends = []
        for label, body in ways:
            out += self.block(body, [(source, label) for source, _ in ends])
        return out

    def loop(self, node: ast.For | ast.While, ends: Ends) -> Ends:
        if isinstance(node, ast.For):
            ends = self.calls(node.iter, ends)
        if not any(_flows(statement, self.shown) for statement in [node, *node.body, *node.orelse]):
            return ends
        endless = isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)
        if isinstance(node, ast.For):
            text = f"for {_unparsed(node.target)} in {_unparsed(node.iter)}"
        else:
            text = "again and again" if endless else f"while {_unparsed(node.test)}"
        head = self.node("loop", text, node)
        self.join(ends, head)
        self.loops.append((head, []))
        turn = "each" if isinstance(node, ast.For) else "yes"
        tested = [(head, "")] if isinstance(node, ast.For) else self.calls(node.test, [(head, "")])
        self.join(self.block(node.body, [(key, "" if endless else turn) for key, _ in tested]), head)
        broken = self.loops.pop()[1]
        done: Ends = [] if endless else [(key, "done") for key, _ in tested]
        return [*self.block(node.orelse, done), *broken]

    def attempt(self, node: ast.Try | ast.TryStar, ends: Ends) -> Ends:
        before = len(self.graph.nodes)
        out = self.block(node.orelse, self.block(node.body, ends))
        inside = [item.key for item in self.graph.nodes[before:]]
        for handler in node.handlers:
            kind = _unparsed(handler.type) if handler.type else "any error"
            if any(_flows(statement, self.shown) for statement in handler.body):
                out += self.block(handler.body, [(key, kind) for key in inside[:1]] or ends)
        return self.block(node.finalbody, out)

    # ----------------------------------------------------------------------------------------------------- calls

    def calls(self, node: ast.AST, ends: Ends) -> Ends:
        """Add the calls of a statement or an expression, in the order in which they are evaluated."""
        for call in _calls(node):
            ends = self.call(call, ends)
        return ends

    def call(self, call: ast.Call, ends: Ends) -> Ends:
        name = _name(call)
        if not ends:
            return ends if name != "location" and _keyword(call, "ADDRESS") is None else self.noted(call, name, ends)
        if name in ("GOTO", "RETURNTO") and call.args:
            target = _text(call.args[0])
            for source, label in ends:
                self.graph.edges.append(Edge(source, ("?" if name == "GOTO" else "^") + target, label, "jump"))
            return []
        return self.noted(call, name, ends)

    def noted(self, call: ast.Call, name: str, ends: Ends) -> Ends:
        """Add the node of a call that says, asks, or goes on in another function."""
        address = _keyword(call, "ADDRESS")
        if name == "parallel_wrapper" and call.args and (inner := _unparsed(call.args[0])) in self.shown:
            key = self.node("call", f"{inner}() side by side", call, address=address)
            self.graph.edges.append(Edge(key, f"!{inner}", kind="call"))
        elif name in self.shown:
            key = self.node("call", f"{name}()", call, address=address)
            self.graph.edges.append(Edge(key, f"!{name}", kind="call"))
        elif name in _KINDS or address is not None:
            supervisor = _keyword(call, "supervisor")
            text = _describe(name, call)
            key = self.node(_KINDS.get(name, "place"), text, call, address=address, supervisor=supervisor)
        else:
            return ends
        out = self.join(ends, key)
        return self.transition(call, key) if name == "TRANSITION" else out

    def transition(self, call: ast.Call, key: str) -> Ends:
        table = call.args[1] if len(call.args) > 1 else None
        if not isinstance(table, ast.Dict):
            return []
        for answer, address in zip(table.keys, table.values, strict=True):
            target = _text(address)
            back = target.removeprefix("returnto ")
            mark = "^" if back != target else "?"
            self.graph.edges.append(Edge(key, mark + back.strip(), _text(answer) if answer else "", "jump"))
        return []


# --------------------------------------------------------------------------------------------------- reading the source


def _calls(node: ast.AST) -> list[ast.Call]:
    """Return the calls in a node, inner ones first; functions that are defined inside are left out."""
    if isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
        return []
    found = [call for child in ast.iter_child_nodes(node) for call in _calls(child)]
    return [*found, node] if isinstance(node, ast.Call) else found


def _flows(node: ast.AST, shown: set[str]) -> bool:
    """Tell whether a statement holds something that the graph shows."""
    if isinstance(node, (ast.Return, ast.Break, ast.Continue, ast.Raise)):
        return True
    if any(isinstance(inner, (ast.Return, ast.Break, ast.Continue)) for inner in ast.walk(node)) and isinstance(
        node, (ast.If, ast.Try, ast.With, ast.Match)
    ):
        return True
    names = {*_KINDS, *shown, "GOTO", "RETURNTO", "parallel_wrapper"}
    return any(_name(call) in names or _keyword(call, "ADDRESS") for call in _calls(node))


def _name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _keyword(call: ast.Call, name: str) -> str | None:
    return next((_text(keyword.value) for keyword in call.keywords if keyword.arg == name), None)


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else _unparsed(node)


def _unparsed(node: ast.AST) -> str:
    return ast.unparse(node)


def _describe(name: str, call: ast.Call) -> str:
    if name == "location":
        return "here"
    if name == "EXIT":
        return "EXIT"
    first = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg != "ADDRESS"), None)
    what = _text(first) if first is not None else ""
    if isinstance(first, ast.JoinedStr):
        what = what[2:-1]
    return what if name in ("reply", "yes_or_no", "multiple_choice", "TRANSITION") else f"{name}: {what}"


def _short(text: str) -> str:
    line = " ".join(text.replace("\\n", " ").split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
