"""Rewrites functions that carry addresses, so that a jump can reach them. Functions without addresses stay as they are.

The body loops inside its own frame. After a jump it runs from the top again with every statement guarded: those before
the target are skipped, the statements around the target are entered without a look at their conditions, `for` loops
go on with the iterator that they have. Locals stay because the frame stays.

    while True:
        try:
            if goto is None: statement
            if goto is None or goto in {"a"}: (the statement that carries or holds "a")
            return None
        except Jump as jump:
            goto = frame.accept(jump)
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import linecache
import sys
import types
from collections.abc import Callable, Sequence

from autograms.errors import AddressError
from autograms.program.jumps import Frame, Jump, Loop

__all__ = ["carries_addresses", "rewrite"]

_GOTO, _FRAME, _JUMP = "__autograms_goto", "__autograms_frame", "__autograms_jump"
_RUNTIME, _REWRITTEN = "__autograms_runtime__", "__autograms_rewritten__"
_COMPOUND = (ast.If, ast.While, ast.For, ast.With, ast.Try, ast.TryStar, ast.Match)
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


class _Runtime:
    """What rewritten code reaches through one hidden global of its module."""

    Loop = Loop
    Jump = Jump
    enter: Callable[[], tuple[Frame, str | None]]


def carries_addresses(function: types.FunctionType) -> bool:
    """Tell whether a call in the function's body has an ``ADDRESS=`` keyword."""
    return _names_address(function.__code__) or _source_names_address(function.__code__, _source(function))


def _names_address(code: types.CodeType) -> bool:
    for const in code.co_consts:
        if isinstance(const, tuple) and "ADDRESS" in const:
            return True
        if isinstance(const, types.CodeType) and const.co_name in _COMPREHENSIONS and _names_address(const):
            return True
    return False


_COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")


@functools.lru_cache(maxsize=1024)
def _source_names_address(code: types.CodeType, source: str) -> bool:
    """Look in the source too: the compiler leaves out what stands behind ``if False:``, but a jump may lead there."""
    definition = _find(code, source) if "ADDRESS" in source else None
    queue: list[ast.AST] = list(definition.body) if definition is not None else []
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Call) and any(keyword.arg == "ADDRESS" for keyword in node.keywords):
            return True
        if not isinstance(node, _NESTED):
            queue.extend(ast.iter_child_nodes(node))
    return False


def rewrite(
    function: types.FunctionType, enter: Callable[[], tuple[Frame, str | None]]
) -> tuple[types.FunctionType, frozenset[str]]:
    """Return the function in a form that jumps can enter, and its addresses.

    Args:
        function: The function as it was defined.
        enter: Called at its start; returns its frame and the address to start at, if any.

    Raises:
        AddressError: Where an address is given twice or is no constant.
    """
    code = function.__code__
    kept = function.__globals__.setdefault(_REWRITTEN, {})
    if code not in kept:  # an inner function is defined, and comes here, as often as its outer one runs
        kept[code] = _rewritten_code(function)
    new_code, addresses = kept[code]
    function.__globals__.setdefault(_RUNTIME, _Runtime).enter = staticmethod(enter)  # type: ignore[attr-defined]
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    made = types.FunctionType(
        new_code,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        tuple(cells[name] for name in new_code.co_freevars),
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__, made.__doc__ = function.__qualname__, function.__doc__
    made.__annotations__, made.__module__ = function.__annotations__, function.__module__
    return made, addresses


def _rewritten_code(function: types.FunctionType) -> tuple[types.CodeType, frozenset[str]]:
    if inspect.isgeneratorfunction(function):
        raise AddressError(
            f"{_where(function)}: {function.__name__}() is a generator, into which no jump can lead; "
            "give the addresses to the function that runs it"
        )
    definition = _definition(function)
    writer = _Writer(function)
    _PassJumps().visit(definition)
    body = definition.body
    docstring = body[:1] if ast.get_docstring(definition, clean=False) is not None else []
    new_body = writer.block(body[len(docstring) :])
    new = _function(definition.name, _without_defaults(definition.args), [*docstring, *writer.frame(new_body)])
    ast.copy_location(new, definition)
    return _compile(new, function), frozenset(writer.reachable)


def _definition(function: types.FunctionType) -> ast.FunctionDef:
    """Return the function's definition, to be written into."""
    found = _find(function.__code__, _source(function))
    if found is None:
        raise AddressError(
            f"{_where(function)}: the source of {function.__name__}() was not found, so that its addresses cannot be "
            "reached; define it in a file"
        )
    return copy.deepcopy(found)


def _source(function: types.FunctionType) -> str:
    return "".join(linecache.getlines(function.__code__.co_filename, function.__globals__))


def _find(code: types.CodeType, source: str) -> ast.FunctionDef | None:
    for node in _definitions(source):
        if node.name == code.co_name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    return None


@functools.lru_cache(maxsize=16)
def _definitions(source: str) -> list[ast.FunctionDef]:
    try:
        return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    except SyntaxError:  # the file has changed since it was loaded
        return []


def _where(function: types.FunctionType) -> str:
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"


def _compile(definition: ast.FunctionDef, function: types.FunctionType) -> types.CodeType:
    """Compile the definition inside a function that has its free variables, and return its code."""
    code = function.__code__
    inner: ast.stmt = definition
    owner = function.__qualname__.split(".")[-2:-1]
    if owner and owner[0].isidentifier():  # a class, whose name goes into its private names
        inner = ast.ClassDef(owner[0], bases=[], keywords=[], body=[definition], decorator_list=[])
        if sys.version_info >= (3, 12):
            inner.type_params = []
    if code.co_freevars:
        bound = [ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None)) for name in code.co_freevars]
        inner = _function("factory", None, [*bound, inner])
    module = ast.fix_missing_locations(ast.Module([inner], []))
    compiled = compile(module, code.co_filename, "exec", dont_inherit=True, flags=code.co_flags & _FUTURE)
    while not (compiled.co_name == definition.name and compiled.co_firstlineno == definition.lineno):
        compiled = next(const for const in compiled.co_consts if isinstance(const, types.CodeType))
    return compiled.replace(co_qualname=code.co_qualname)


_FUTURE = 0x1000000  # the `annotations` future, the only one left that changes how code compiles


def _function(name: str, arguments: ast.arguments | None, body: list[ast.stmt]) -> ast.FunctionDef:
    """Return a definition; parsed from text, since the fields that a definition must have differ between Pythons."""
    made = ast.parse(f"def {name}(): pass").body[0]
    assert isinstance(made, ast.FunctionDef)
    made.args = arguments or made.args
    made.body = body
    return made


def _without_defaults(arguments: ast.arguments) -> ast.arguments:
    """Keep the parameters; their defaults are taken over from the function as they were evaluated."""
    bare = lambda arg: ast.copy_location(ast.arg(arg.arg), arg)  # noqa: E731
    return ast.arguments(
        posonlyargs=[bare(arg) for arg in arguments.posonlyargs],
        args=[bare(arg) for arg in arguments.args],
        vararg=bare(arguments.vararg) if arguments.vararg else None,
        kwonlyargs=[bare(arg) for arg in arguments.kwonlyargs],
        kw_defaults=[None] * len(arguments.kwonlyargs),
        kwarg=bare(arguments.kwarg) if arguments.kwarg else None,
        defaults=[],
    )


class _Writer:
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
            if not isinstance(item, _NESTED):
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
            f"{_FRAME}, {_GOTO} = {_RUNTIME}.enter()\n{loops}"
            f"while True:\n    try:\n        pass\n        return None\n"
            f"    except {_RUNTIME}.Jump as {_JUMP}:\n        {_GOTO} = {_FRAME}.accept({_JUMP})\n"
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
        if isinstance(node, _NESTED):
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
        head = self.own(node.test)
        before = self._head_first(head)
        inside, body = self._inner(node.body, head)
        beside, orelse = self._inner(node.orelse, head)
        if not (head or inside or beside):
            return [], [node]
        test = _or_jump(inside, self._noting(head, node.test))
        return [*head, *inside, *beside], [*before, _at(ast.If(test, body, orelse), node)]

    def _while(self, node: ast.While) -> tuple[list[str], list[ast.stmt]]:
        head = self.own(node.test)
        before = self._head_first(head)
        inside, body = self._inner(node.body, head)
        beside, orelse = self._inner(node.orelse, head)
        if not (head or inside or beside):
            return [], [node]
        test = _or_jump(inside, self._noting(head, node.test))
        return [*head, *inside, *beside], [*before, _at(ast.While(test, body, orelse), node)]

    def _for(self, node: ast.For) -> tuple[list[str], list[ast.stmt]]:
        head = self.own(node.iter)
        before = self._head_first(head)
        inside, body = self._inner(node.body, head)
        beside, orelse = self._inner(node.orelse, head)
        if not (head or inside or beside):
            return [], [node]
        self.loops += 1
        loop, item = _loop(self.loops), f"__autograms_item_{self.loops}"
        make = _stmts(f"{loop} = {_RUNTIME}.Loop(None)")
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


class _PassJumps(ast.NodeTransformer):
    """Lets jumps pass handlers that catch everything (``except:``)."""

    def visit_Try(self, node: ast.Try) -> ast.Try:
        """Put a handler before the others that hands jumps on."""
        self.generic_visit(node)
        if node.handlers:
            made = ast.parse(f"try: pass\nexcept {_RUNTIME}.Jump: raise").body[0]
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
