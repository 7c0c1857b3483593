"""Read submitted source without running it: what it must be, and where it is not.

Nothing here is a fence. It spares the author a run that cannot begin, and names line and column.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache

from runtimes.sandbox.modules import MODULES

MOST_BYTES = 65_536
LONGEST_LINE = 2_000
DEEPEST = 60
"""Brackets within one another, and levels of the syntax tree times `LEVELS`."""
LEVELS = 4
NAME = "<strategy>"
"""The file name of submitted source in tracebacks."""
CLASS = "Strategy"
BASES = ("Script", CLASS)
MOST_WARMUP = 100_000


class SourceError(ValueError):
    """Source that cannot run; ``line`` and ``column`` count from 1, 0 where it is all of it."""

    def __init__(self, problem: str, *, line: int = 0, column: int = 0) -> None:
        super().__init__(problem)
        self.problem, self.line, self.column = problem, line, column

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}: " if self.line else ""
        return f"{where}{self.problem}"


@dataclass(frozen=True, slots=True)
class Scanned:
    """What the source says of its strategy: its class, look-back and parameters.

    ``accepts`` are the parameters that the class takes by name, None for any; ``needs`` are those
    without a default.
    """

    name: str
    warmup: int = 1
    accepts: tuple[str, ...] | None = ()
    needs: tuple[str, ...] = ()


@lru_cache(maxsize=64)
def scan(code: str) -> Scanned:
    """Return what ``code`` says of its strategy, or raise `SourceError`; runs nothing of it."""
    _refuse_monsters(code)
    tree = _parsed(code)
    for node in ast.walk(tree):
        _refuse_import(node)
    found = _strategy(tree)
    accepts, needs = _parameters(found)
    return Scanned(found.name, _warmup(found), accepts, needs)


def _refuse_monsters(code: str) -> None:
    """Refuse what could exhaust the parser, before it is parsed."""
    size = len(code.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise SourceError(f"The source has {size} bytes; {MOST_BYTES} are allowed.")
    if not code.strip():
        raise SourceError("The source is empty.")
    depth = 0
    for number, line in enumerate(code.split("\n"), 1):
        if len(line) > LONGEST_LINE:
            problem = f"The line is longer than {LONGEST_LINE} characters."
            raise SourceError(problem, line=number, column=LONGEST_LINE + 1)
        for column, character in enumerate(line, 1):
            if character == "\0" or "\ud800" <= character <= "\udfff":
                problem = "NUL and halves of pairs are no text."
                raise SourceError(problem, line=number, column=column)
            depth += (character in "([{") - (character in ")]}")
            if depth > DEEPEST:
                problem = f"More than {DEEPEST} brackets are open here."
                raise SourceError(problem, line=number, column=column)


def _parsed(code: str) -> ast.Module:
    try:
        tree = ast.parse(code, NAME)
        _refuse_deep(tree)
        compile(code, NAME, "exec", dont_inherit=True)
    except SyntaxError as error:
        problem = f"The source does not compile: {error.msg}."
        raise SourceError(problem, line=error.lineno or 0, column=error.offset or 0) from None
    except (ValueError, MemoryError, RecursionError, OverflowError) as error:
        if isinstance(error, SourceError):
            raise
        problem = f"The source does not compile: {type(error).__name__}."
        raise SourceError(problem) from None
    return tree


def _refuse_deep(tree: ast.Module) -> None:
    level: list[ast.AST] = [tree]
    for _ in range(DEEPEST * LEVELS):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    first = next((node for node in level if hasattr(node, "lineno")), None)
    line = getattr(first, "lineno", 0)
    column = getattr(first, "col_offset", -1) + 1
    raise SourceError("An expression is nested too deep.", line=line, column=column)


def _refuse_import(node: ast.AST) -> None:
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or "" if not node.level else "."]
    for name in names:
        if name not in MODULES and name != "__future__":
            problem = (
                f"There is no module {name[:64]!r} for submitted source: it may import numpy, "
                "runtimes.engine.script and the computing part of the standard library."
            )
            raise _at(node, problem)


def _strategy(tree: ast.Module) -> ast.ClassDef:
    """Return the class called Strategy, else the only one derived from Script."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    named = [node for node in classes if node.name == CLASS]
    found = named[-1:] or [node for node in classes if any(map(_is_script, node.bases))]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(node.name for node in found[:8])
        raise _at(found[1], f"There is more than one strategy ({names}): call one {CLASS}.")
    raise SourceError(f"There is no class {CLASS} in the source, nor one derived from Script.")


def _is_script(base: ast.expr) -> bool:
    name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
    return name in BASES


def _warmup(found: ast.ClassDef) -> int:
    """Return the class attribute ``warmup``, a literal number of bars; 1 where it has none."""
    for node in found.body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        if not any(isinstance(target, ast.Name) and target.id == "warmup" for target in targets):
            continue
        bars = value.value if isinstance(value, ast.Constant) else None
        if type(bars) is not int or not 1 <= bars <= MOST_WARMUP:
            raise _at(value, f"warmup is a whole number of bars from 1 to {MOST_WARMUP}.")
        return bars
    return 1


def _parameters(found: ast.ClassDef) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return what ``__init__`` takes by name, None for anything, and what it must be given.

    A class without one takes nothing, unless it is derived from another class of the source.
    """
    made = [n for n in found.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    if not made:
        return (() if all(map(_is_script, found.bases)) and not found.keywords else None), ()
    arguments = made[-1].args
    plain = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)][1:]
    needed = plain[: len(plain) - len(arguments.defaults)]
    only = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    needed += [argument.arg for argument, default in only if default is None]
    names = (*plain, *(argument.arg for argument in arguments.kwonlyargs))
    return (None if arguments.kwarg else names), tuple(needed)


def _at(node: ast.AST, problem: str) -> SourceError:
    line = getattr(node, "lineno", 0)
    return SourceError(problem, line=line, column=getattr(node, "col_offset", -1) + 1)
