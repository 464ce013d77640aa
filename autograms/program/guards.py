"""How the statements of a rewritten function are guarded, so that a jump can enter between them.

What does not belong here: finding a function's definition and compiling what came of it (``rewrite``).
"""

from __future__ import annotations

import ast
import types
from collections.abc import Sequence

from autograms.errors import AddressError

__all__ = ["NESTED", "RUNTIME", "GuardWriter", "PassJumps", "where"]

RUNTIME = "__autograms_runtime__"
"""The hidden global through which rewritten code reaches what it needs."""
NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
"""What has a body of its own, into which no jump leads."""
_GOTO, _FRAME, _JUMP = "__autograms_goto", "__autograms_frame", "__autograms_jump"
_COMPOUND = (ast.If, ast.While, ast.For, ast.With, ast.Try, ast.TryStar, ast.Match)


class GuardWriter:
    """Rewrites the statements of one function."""

    def __init__(self, function: types.FunctionType) -> None:
        self.function = function
        self.seen: dict[str, int] = {}
        self.reachable: set[str] = set()
        self.loops = 0

    # ------------------------------------------------------------------------------------------------- addresses

    def own(self, node: ast.AST | Sequence[ast.AST]) -> list[str]:
        """Strip ``ADDRESS=`` from the calls of a statement's own expressions and return the addresses."""
        found: list[str] = []
        queue = list(node) if isinstance(node, Sequence) else [node]
        while queue:
            item = queue.pop()
            if isinstance(item, ast.Call):
                for keyword in [k for k in item.keywords if k.arg == "ADDRESS"]:
                    address = self._constant(keyword.value)
                    if address is not None:
                        found.append(address)
                    item.keywords.remove(keyword)
            if not isinstance(item, NESTED):
                queue.extend(ast.iter_child_nodes(item))
        return found

    def _constant(self, node: ast.expr) -> str | None:
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(node, ast.Name):
            value = self.function.__globals__.get(node.id)
        where = f"{self.function.__code__.co_filename}:{node.lineno}"
        if isinstance(node, ast.Constant) and value is None:
            return None
        if not isinstance(value, str):
            raise AddressError(f"{where}: ADDRESS={ast.unparse(node)} is no constant; write the address as a text")
        if value in self.seen:
            raise AddressError(
                f"{where}: the address {value!r} is given twice in {self.function.__name__}() "
                f"(first in line {self.seen[value]}); give each its own"
            )
        self.seen[value] = node.lineno
        return value

    # ------------------------------------------------------------------------------------------------- statements

    def frame(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Wrap the rewritten body in the loop that follows jumps."""
        loops = "".join(f"{_loop(number)} = None\n" for number in range(1, self.loops + 1))
        template = (
            f"{_FRAME}, {_GOTO} = {RUNTIME}.enter()\n{loops}"
            f"while True:\n    try:\n        pass\n        return None\n"
            f"    except {RUNTIME}.Jump as {_JUMP}:\n        {_GOTO} = {_FRAME}.accept({_JUMP})\n"
        )
        statements = ast.parse(template).body
        attempt = statements[-1].body[0]  # type: ignore[attr-defined]
        attempt.body[:1] = body or [ast.Pass()]
        return statements

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Rewrite the statements of a block; those that hold no address are guarded in groups."""
        out: list[ast.stmt] = []
        plain: list[ast.stmt] = []
        for statement in statements:
            addresses, written = self.statement(statement)
            if not addresses:
                plain.append(statement)
                continue
            out += self._guarded(plain)
            plain = []
            out.append(_if(_may_enter(addresses), written))
        return out + self._guarded(plain)

    def _guarded(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        declarations: list[ast.stmt] = [s for s in statements if isinstance(s, (ast.Global, ast.Nonlocal))]
        others = [s for s in statements if not isinstance(s, (ast.Global, ast.Nonlocal))]
        if not others:
            return declarations
        # An exception or a `continue` may have left a statement with an address before it took its note back.
        return [*declarations, _if(_expr(f"{_GOTO} is None"), [*_stmts(f"{_FRAME}.leave()"), *others])]

    def statement(self, node: ast.stmt) -> tuple[list[str], list[ast.stmt]]:
        """Return the addresses that a statement carries or holds, and its rewritten form where there are any."""
        if isinstance(node, _COMPOUND):
            return getattr(self, f"_{type(node).__name__.lower()}")(node)
        if isinstance(node, NESTED):
            return [], [node]
        head = self.own(node)
        self.reachable.update(head)
        said: ast.stmt = node
        if head and _speaks(node):  # a resume goes on behind it; its arguments may need what nobody has computed
            said = _if(_expr(f"not {_FRAME}.arrived()"), [node])
        return head, [*self._arrive(head), said, *self._leave(head)]

    def _arrive(self, head: list[str]) -> list[ast.stmt]:
        if not head:
            return []
        return _stmts(f"{_GOTO} = None\n{_FRAME}.at({head[0]!r})")

    def _leave(self, head: list[str]) -> list[ast.stmt]:
        return _stmts(f"{_FRAME}.leave()") if head else []

    def _inner(self, statements: list[ast.stmt], head: list[str]) -> tuple[list[str], list[ast.stmt]]:
        """Rewrite an inner block; return the addresses in it and the block."""
        before = set(self.reachable)
        body = self.block(statements)
        found = sorted(self.reachable - before)
        return found, (body if found or head else statements)

    def _head_first(self, head: list[str]) -> list[ast.stmt]:
        """A jump to an address in a compound statement's own expression evaluates that expression."""
        self.reachable.update(head)
        if not head:
            return []
        return [_if(_expr(f"{_GOTO} in {tuple(head)!r}"), _stmts(f"{_GOTO} = None"))]

    def _noting(self, head: list[str], value: ast.expr) -> ast.expr:
        """Note the address of a compound statement's own expression where it is evaluated."""
        return ast.BoolOp(ast.Or(), [_expr(f"{_FRAME}.at({head[0] if head else None!r})"), value])

    def _if(self, node: ast.If) -> tuple[list[str], list[ast.stmt]]:
        return self._tested(node)

    def _while(self, node: ast.While) -> tuple[list[str], list[ast.stmt]]:
        return self._tested(node)

    def _tested(self, node: ast.If | ast.While) -> tuple[list[str], list[ast.stmt]]:
        head = self.own(node.test)
        before = self._head_first(head)
        inside, body = self._inner(node.body, head)
        beside, orelse = self._inner(node.orelse, head)
        if not (head or inside or beside):
            return [], [node]
        test = _or_jump(inside, self._noting(head, node.test))
        return [*head, *inside, *beside], [*before, _at(type(node)(test, body, orelse), node)]

    def _for(self, node: ast.For) -> tuple[list[str], list[ast.stmt]]:
        head = self.own(node.iter)
        before = self._head_first(head)
        inside, body = self._inner(node.body, head)
        beside, orelse = self._inner(node.orelse, head)
        if not (head or inside or beside):
            return [], [node]
        self.loops += 1
        loop, item = _loop(self.loops), f"__autograms_item_{self.loops}"
        make = _stmts(f"{loop} = {RUNTIME}.Loop(None)")
        make[0].value.args = [self._noting(head, node.iter)]  # type: ignore[attr-defined]
        first = ast.For(node.target, _expr(f"{loop}.first()"), [ast.Pass()], [])
        bind = _if(_expr(f"{_GOTO} is None"), [ast.Assign([node.target], ast.Name(item, ast.Load()))])
        run = ast.For(ast.Name(item, ast.Store()), _expr(f"{loop}.resume({_GOTO} is not None)"), [bind, *body], orelse)
        steps: list[ast.stmt] = [
            ast.If(_expr(f"{_GOTO} is None"), make, [ast.If(_expr(f"{loop} is None"), [*make, first], [])]),
            _at(run, node),
            *_stmts(f"{loop} = None"),
        ]
        if beside:
            steps = [ast.If(_expr(f"{_GOTO} in {tuple(beside)!r}"), orelse, steps)]
        return [*head, *inside, *beside], [*before, *steps]

    def _with(self, node: ast.With) -> tuple[list[str], list[ast.stmt]]:
        head = self.own([item.context_expr for item in node.items])
        before = self._head_first(head)
        inside, body = self._inner(node.body, head)
        if not (head or inside):
            return [], [node]
        first = node.items[0]
        first.context_expr = self._noting(head, first.context_expr)
        return [*head, *inside], [*before, _at(ast.With(node.items, body), node)]

    def _try(self, node: ast.Try | ast.TryStar) -> tuple[list[str], list[ast.stmt]]:
        inside, body = self._inner(node.body, [])
        # Handlers run only where something was raised: their addresses mark places, no jump reaches them.
        for part in (*node.handlers, *node.orelse, *node.finalbody):
            self.own(part)
        if not inside:
            return [], [node]
        return inside, [_at(type(node)(body, node.handlers, node.orelse, node.finalbody), node)]

    _trystar = _try

    def _match(self, node: ast.Match) -> tuple[list[str], list[ast.stmt]]:
        head = self.own(node.subject)
        before = self._head_first(head)
        inner = [self._inner(case.body, head) for case in node.cases]
        found = [address for addresses, _ in inner for address in addresses]
        if not (head or found):
            return [], [node]
        cases = [
            ast.match_case(case.pattern, case.guard, body) for case, (_, body) in zip(node.cases, inner, strict=True)
        ]
        chain: list[ast.stmt] = [_at(ast.Match(self._noting(head, node.subject), cases), node)]
        for addresses, body in reversed(inner):
            if addresses:
                chain = [ast.If(_expr(f"{_GOTO} in {tuple(addresses)!r}"), body, chain)]
        return [*head, *found], [*before, *chain]


class PassJumps(ast.NodeTransformer):
    """Lets jumps pass handlers that catch everything (``except:``)."""

    def visit_Try(self, node: ast.Try) -> ast.Try:
        """Put a handler before the others that hands jumps on."""
        self.generic_visit(node)
        if node.handlers:
            made = ast.parse(f"try: pass\nexcept {RUNTIME}.Jump: raise").body[0]
            node.handlers[:0] = made.handlers  # type: ignore[attr-defined]
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        """Leave inner functions as they are."""
        return node


def _speaks(node: ast.stmt) -> bool:
    """Tell whether a statement is a call that ends the turn, and nothing else."""
    function = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
    return name in ("reply", "reply_instruction", "reply_suffix", "EXIT")


def _loop(number: int) -> str:
    return f"__autograms_loop_{number}"


def _expr(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _stmts(text: str) -> list[ast.stmt]:
    return ast.parse(text).body


def _if(test: ast.expr, body: list[ast.stmt]) -> ast.stmt:
    return ast.If(test, body, [])


def _at(new: ast.stmt, old: ast.stmt) -> ast.stmt:
    return ast.copy_location(new, old)


def _may_enter(addresses: list[str]) -> ast.expr:
    return _expr(f"{_GOTO} is None or {_GOTO} in {tuple(addresses)!r}")


def _or_jump(inside: list[str], test: ast.expr) -> ast.expr:
    """The condition holds where the jump's target is inside; it is not evaluated where a jump is on its way."""
    jumped = _expr(f"{_GOTO} in {tuple(inside)!r}")
    normal = ast.BoolOp(ast.And(), [_expr(f"{_GOTO} is None"), test])
    return ast.BoolOp(ast.Or(), [jumped, normal])


def where(function: types.FunctionType) -> str:
    """Return a function's file and line."""
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
