"""Small bugs that a source file could have: each is one change of its syntax tree.

Left alone are strings, docstrings, annotations, what is raised with its message, log lines below a
warning, and what only type checkers see. A mutant is named by its place and its change, not by a
line or a number, so that the name stays when other code changes.
"""

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).parents[2]

_ORDERED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_QUIET = {"debug", "info"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_MAX_TEXT = 70

Change = tuple[ast.AST, ast.AST]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change.

    Attributes:
        file: path from the root of the project.
        name: place and change; the same as long as both are there.
        line: of the change.
        function: qualified name and first line of the outermost function around; `None` for what
            runs when the module is imported.
        compiled: makes the changed module.
    """

    file: str
    name: str
    line: int
    function: tuple[str, int] | None
    compiled: Callable[[], CodeType]


def mutants(file: str, source: str) -> Iterator[Mutant]:
    """All mutants of a source file, in its order."""
    tree = ast.parse(source)
    names: Counter[str] = Counter()
    for node, place, function in _nodes(tree, (), None):
        for before, after in _changes(node):
            name = f"{file.removeprefix('streamapp/')} {'.'.join(place) or '-'}: "
            name += _told(before, after)
            names[name] += 1
            if names[name] > 1:
                name += f" ({names[name]})"
            line = getattr(before, "lineno", getattr(node, "lineno", 0))
            compiled = partial(_compiled, file, tree, before, after)
            yield Mutant(file, name, line, function, compiled)


def _nodes(
    node: ast.AST, place: tuple[str, ...], function: tuple[str, int] | None
) -> Iterator[tuple[ast.AST, tuple[str, ...], tuple[str, int] | None]]:
    """Nodes that may change, with the names around them and the outermost function."""
    for child in _children(node):
        inside, outermost = place, function
        yield child, place, function
        if isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
            inside = (*place, child.name)
        if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            inside = (*place, child.target.id) if function is None else place
        if isinstance(child, _FUNCTIONS) and function is None:
            first = min([child.lineno, *(line.lineno for line in child.decorator_list)])
            for default in [*child.args.defaults, *filter(None, child.args.kw_defaults)]:
                yield default, inside, None
                yield from _nodes(default, inside, None)
            outermost = (".".join(inside), first)
        yield from _nodes(child, inside, outermost)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    skipped: list[ast.AST | None] = []
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            skipped = [node.args, node.returns, *node.decorator_list]
        case ast.ClassDef() if any(_last_name(base) == "Protocol" for base in node.bases):
            return
        case ast.ClassDef():
            skipped = [*node.decorator_list, *node.keywords]
        case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar"))):
            return
        case ast.AnnAssign() | ast.arg():
            skipped = [node.annotation]
        case ast.If() if _last_name(node.test) == "TYPE_CHECKING":
            return
        case ast.Raise() | ast.JoinedStr() | ast.Assert():
            return
        case ast.Expr() if _is_quiet(node):
            return
    yield from (child for child in ast.iter_child_nodes(node) if child not in skipped)


def _changes(node: ast.AST) -> Iterator[Change]:
    yield from _changed_operators(node)
    yield from _changed_values(node)
    yield from _changed_conditions(node)
    yield from _changed_statements(node)


def _changed_operators(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare():
            for i, operator in enumerate(node.ops):
                for other in _ORDERED[type(operator)]:
                    ops = [*node.ops[:i], other(), *node.ops[i + 1 :]]
                    yield node, ast.Compare(node.left, ops, node.comparators)
        case ast.BoolOp(op=ast.And()):
            yield node, ast.BoolOp(ast.Or(), node.values)
        case ast.BoolOp():
            yield node, ast.BoolOp(ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            if not isinstance(node.operand, ast.Constant):
                yield node, node.operand
        case ast.BinOp() if type(node.op) in _ARITHMETIC and not _is_text(node):
            yield node, ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)
        case ast.AugAssign() if type(node.op) in _ARITHMETIC and not _is_text(node.value):
            yield node, ast.AugAssign(node.target, _ARITHMETIC[type(node.op)](), node.value)
            yield node, ast.Pass()


def _changed_values(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Constant(value=bool() as value):
            yield node, ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield node, ast.Constant(value + 1)
        case ast.Slice(lower=ast.expr()) | ast.Slice(upper=ast.expr()):
            yield node, ast.Slice(None, None, node.step)
        case ast.Call():
            yield from _changed_calls(node)


def _changed_calls(node: ast.Call) -> Iterator[Change]:
    if isinstance(node.func, ast.Name) and node.func.id in _NAMES:
        yield node, ast.Call(ast.Name(_NAMES[node.func.id], ast.Load()), node.args, node.keywords)
    for keyword in node.keywords:
        if not isinstance(keyword.value, ast.Constant | ast.JoinedStr) or not _is_text(
            keyword.value
        ):
            kept = [other for other in node.keywords if other is not keyword]
            yield node, ast.Call(node.func, node.args, kept)


def _changed_conditions(node: ast.AST) -> Iterator[Change]:
    """The opposite of conditions that no other change turns round."""
    tests: list[ast.expr] = []
    match node:
        case ast.If() | ast.While() | ast.IfExp():
            tests = [node.test]
        case ast.comprehension():
            tests = node.ifs
    for test in tests:
        if not isinstance(test, ast.Compare | ast.Constant | ast.UnaryOp):
            yield test, ast.UnaryOp(ast.Not(), test)


def _changed_statements(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Return(value=ast.expr()) if not isinstance(node.value, ast.Constant):
            yield node, ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Await()) if not _is_quiet(node):
            yield node, ast.Pass()
        case ast.Assign() if isinstance(node.targets[0], ast.Attribute | ast.Subscript):
            yield node, ast.Pass()
        case ast.Delete() | ast.Raise():
            yield node, ast.Pass()
        case ast.Continue():
            yield node, ast.Break()
        case ast.Break():
            yield node, ast.Continue()


def _compiled(file: str, tree: ast.Module, before: ast.AST, after: ast.AST) -> CodeType:
    return compile(_replaced(tree, before, after), str(ROOT / file), "exec", dont_inherit=True)


def _replaced(tree: ast.Module, before: ast.AST, after: ast.AST) -> ast.Module:
    """A copy of the tree with the change; the tree itself stays as it is."""

    class Replace(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            if node is before:
                return ast.copy_location(after, before)
            return super().generic_visit(_shallow(node))

    changed = Replace().visit(tree)
    assert isinstance(changed, ast.Module)
    return ast.fix_missing_locations(changed)


def _shallow(node: ast.AST) -> ast.AST:
    twin = copy.copy(node)
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            setattr(twin, name, list(value))
    return twin


def _told(before: ast.AST, after: ast.AST) -> str:
    """The change in a line."""
    if isinstance(before, ast.Call) and isinstance(after, ast.Call):
        for keyword in before.keywords:
            if keyword not in after.keywords:
                return f"{_text(before.func)}(…) without {keyword.arg or '**'}"
    return f"{_text(before)} -> {_text(after)}"


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Slice) and not (node.lower or node.upper):
        return ":"
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return f"raise {_text(node.exc.func)}(…)"  # without its words, which may change
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def _is_text(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _is_quiet(node: ast.Expr) -> bool:
    """A log line that says how things go on, or a text that stands for itself."""
    return isinstance(node.value, ast.Constant) or (
        isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr in _QUIET
    )
