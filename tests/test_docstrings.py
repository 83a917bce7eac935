"""What CONTRIBUTING.md says of docstrings, held against the code: arguments, errors, shapes."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "reid").rglob("*.py"))
DOCUMENTED_ERRORS = {"InputError", "ValueError", "TypeError", "FileNotFoundError", "KeyError", "IndexError"}
ARRAYS = re.compile(r"\b(Tensor|NDArray|ndarray)\b")
STATE_DICT = "dict[str, Tensor]"  # a file's tensors are of the file's shapes
SIDE = r"(?:\d+|[A-Z][a-z]?'?|[a-z]|\.{3}|max_rank|dim|count|[a-z]+_[a-z]+)(?: ?[*+/-] ?\w+)?"
SHAPE = re.compile(rf"\({SIDE}(?:, ?{SIDE})*,?\)|\bshapes?\b|\bscalar\b")
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
MANY = 3


class Documented(NamedTuple):
    """One public function, method or class: its docstring beside what its code says."""

    name: str
    doc: str
    parameters: list[str]
    raised: set[str]
    signature: str
    is_exported: bool


def section(doc, title):
    """The lines under ``title:``; None where there is no such section."""
    match = re.search(rf"^{title}:\n((?:[ ]+.*\n?|\n)+)", doc + "\n", re.MULTILINE)
    return match and match.group(1)


def entries(text):
    """The names that a section describes, in its order."""
    return [name.lstrip("*") for name in re.findall(r"^ {4}(\*{0,2}\w+)(?: \([^)]*\))?:", text, re.MULTILINE)]


def raised_in(node, caught=frozenset()):
    """The errors that a body raises by name and does not catch itself."""
    found = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FUNCTION | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(child, ast.Raise) and child.exc is not None:
            error = child.exc.func if isinstance(child.exc, ast.Call) else child.exc
            found |= {ast.unparse(error)} - caught
        if isinstance(child, ast.Try):
            kinds = {
                n.id for h in child.handlers if h.type for n in ast.walk(h.type) if isinstance(n, ast.Name)
            }
            found |= set().union(*(raised_in_one(statement, caught | kinds) for statement in child.body))
            rest = [*child.handlers, *child.orelse, *child.finalbody]
            found |= set().union(*(raised_in_one(part, caught) for part in rest))
            continue
        found |= raised_in(child, caught)
    return found & DOCUMENTED_ERRORS


def raised_in_one(statement, caught):
    return raised_in(ast.Module(body=[statement], type_ignores=[]), caught)


def parameters_of(function, is_method):
    args = function.args
    is_static = any(ast.unparse(d) == "staticmethod" for d in function.decorator_list)
    named = [a.arg for a in args.posonlyargs + args.args][1 if is_method and not is_static else 0 :]
    named += [args.vararg.arg] if args.vararg else []
    named += [a.arg for a in args.kwonlyargs]
    return named + ([args.kwarg.arg] if args.kwarg else [])


def describe_function(function, where, exported, is_method=False):
    returns = ast.unparse(function.returns) if function.returns else ""
    return Documented(
        f"{where}{function.name}",
        ast.get_docstring(function) or "",
        parameters_of(function, is_method),
        raised_in(function),
        f"{ast.unparse(function.args)} -> {returns}",
        function.name in exported,
    )


def describe_class(node, where, exported):
    """The class itself, whose parameters are its constructor's or its fields, and its public methods."""
    methods = [item for item in node.body if isinstance(item, FUNCTION)]
    init = next((m for m in methods if m.name == "__init__"), None)
    fields = [item.target.id for item in node.body if isinstance(item, ast.AnnAssign)]
    yield Documented(
        f"{where}{node.name}",
        ast.get_docstring(node) or "",
        parameters_of(init, True) if init else fields,
        raised_in(init) if init else set(),
        ast.unparse(init.args) if init else "",
        node.name in exported,
    )
    for method in methods:
        decorators = [ast.unparse(d) for d in method.decorator_list]
        if method.name.startswith("_") or any("setter" in d or "overload" in d for d in decorators):
            continue
        described = describe_function(method, f"{where}{node.name}.", set(), is_method=True)
        yield described._replace(is_exported=node.name in exported)


def exported_names():
    found = set()
    for path in SOURCES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                found |= set(ast.literal_eval(node.value))
    return found


def documented_in(source, where="", exported=frozenset()):
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, FUNCTION) and not node.name.startswith("_"):
            found.append(describe_function(node, where, exported))
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found.extend(describe_class(node, where, exported))
    return found


def faults_of(one):
    """What a docstring lacks, each in a few words."""
    faults = [] if one.doc else ["has no docstring"]
    args, errors = section(one.doc, "Args"), section(one.doc, "Raises")
    if args is not None and entries(args) != one.parameters:
        faults.append(f"Args: {entries(args)}, signature: {one.parameters}")
    if args is None and one.is_exported and len(one.parameters) >= MANY and one.signature:
        faults.append(f"takes {one.parameters} and has no Args section")
    if missing := one.raised - set(entries(errors or "")):
        faults.append(f"raises {sorted(missing)} and says so in no Raises section")
    if one.is_exported and ARRAYS.search(one.signature.replace(STATE_DICT, "")) and not SHAPE.search(one.doc):
        faults.append(f"takes or gives arrays and tells no shape: {one.signature}")
    return faults


EXPORTED = exported_names()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_agree_with_the_code(path):
    where = f"{path.relative_to(ROOT).as_posix()}: "
    found = documented_in(path.read_text(encoding="utf-8"), where, EXPORTED)
    assert [f"{one.name} {fault}" for one in found for fault in faults_of(one)] == []


def test_the_check_reads_the_package():
    assert {"load_model", "fuse_denoisers", "Gallery"} <= EXPORTED
    assert sum(len(documented_in(path.read_text(encoding="utf-8"))) for path in SOURCES) > 900


GOOD = '''
def near(query: Tensor, gallery: Tensor, k: int) -> Tensor:
    """Rows.

    Args:
        query: (Q, D).
        gallery: (G, D).
        k: At least 1.

    Raises:
        InputError: If k is below 1.
    """
    try:
        raise ValueError("caught")
    except ValueError:
        pass
    if k < 1:
        raise InputError("k")
'''


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("", ""), None),
        (
            ("        k: At least 1.\n", ""),
            "Args: ['query', 'gallery'], signature: ['query', 'gallery', 'k']",
        ),
        (("        k: At", "        count: At"), "Args: ['query', 'gallery', 'count']"),
        (("        InputError: If k is", "        OSError: If k is"), "raises ['InputError']"),
        (("except ValueError", "except KeyError"), "raises ['ValueError']"),
        (("        pass", "        raise TypeError(k) from None"), "raises ['TypeError']"),
        (("(Q, D).\n        gallery: (G, D)", "One.\n        gallery: Other"), "tells no shape"),
        (("    Args:", "    Takes:"), "has no Args section"),
        (('    """Rows.', '    f"""Rows.'), "has no docstring"),
    ],
)
def test_each_fault_is_found(change, fault):
    (near,) = documented_in(GOOD.replace(*change), exported={"near"})
    faults = faults_of(near)
    assert faults == [] if fault is None else any(fault in found for found in faults)


def test_classes_answer_for_their_fields_and_methods():
    source = '''
class Point:
    """A point.

    Args:
        x: Across.
    """

    x: int
    y: int

    def far(self):
        raise ValueError
    def near(self):
        raise ValueError("near")
    def _own(self): ...
'''
    point, far, near = documented_in(source)
    assert faults_of(point) == ["Args: ['x'], signature: ['x', 'y']"]
    assert faults_of(far) == ["has no docstring", "raises ['ValueError'] and says so in no Raises section"]
    assert faults_of(near) == faults_of(far)
