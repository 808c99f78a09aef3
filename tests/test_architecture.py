"""The rules of the house, read off the source of every package."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from zoo.lookup import check_arguments, import_object
from zoo.records import Catalog, Entry, ImagePreprocessing, Weights
from zoo.registry import CATALOG_GROUP

ROOT = Path(__file__).parents[1]
CORE = "zoo"
DOMAINS = ("vision", "nlp", "tabular", "audio", "rl")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
# -- Libraries that take long to import, and that no module may import before they are needed.
SLOW_LIBRARIES = frozenset(
    (
        "torchvision",
        "torchaudio",
        "timm",
        "transformers",
        "matplotlib",
        "pandas",
        "sklearn",
        "lightning_fabric",
        "rich",
        "optuna",
    )
)
SLOW_NAMES = SLOW_LIBRARIES | {"torch", "numpy", "PIL", "safetensors"}

# -- Where the modules are that draw, and that are themselves imported only where something is drawn.
DRAWING = "zoo/explanation/pictures/"

SOURCES = sorted(path for package in (CORE, *DOMAINS) for path in (ROOT / package).rglob("*.py"))
OTHERS = sorted(path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Rule = Callable[[ast.Module, str], Iterator[tuple[int, str]]]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def package_of(name: str) -> str:
    """ "vision/data/jpeg.py" to "vision"."""
    return name.partition("/")[0]


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The modules that a tree imports, by statement or by importlib with a literal name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or "."
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names = [item.value for item in node.args if isinstance(item, ast.Constant)]
            yield from ((node.lineno, name) for name in names if isinstance(name, str))


def loaded_at_once(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported, without bodies of functions and of `if TYPE_CHECKING`."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, FUNCTIONS) or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            continue
        yield node
        for part in ("body", "orelse", "finalbody", "handlers"):
            for child in getattr(node, part, []):
                waiting += child.body if isinstance(child, ast.ExceptHandler) else [child]


# -- The rules: each gives the lines that break it


def imports_across(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """The core knows no domain, and no domain knows another."""
    own = package_of(name)
    for line, module in imports(tree):
        if module.partition(".")[0] in DOMAINS and module.partition(".")[0] != own:
            yield line, f"{own} imports {module}"


def branches_on_a_task(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """The core treats every task alike: it compares no value with the name of one."""
    for node in ast.walk(tree) if package_of(name) == "zoo" else ():
        asks = isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("startswith", "endswith", "fullmatch"))
        if asks or isinstance(node, ast.Compare | ast.MatchValue):
            texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            named = [text for text in texts if isinstance(text, str) and text.partition("/")[0] in DOMAINS]
            yield from ((node.lineno, f"asks for {text!r}") for text in named)


def imports_relatively(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """Imports are absolute, so that the rule above sees them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "relative import"


def imports_slow_libraries_at_once(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """What takes long to import is imported in the function that uses it."""
    for node in loaded_at_once(tree) if not name.startswith(DRAWING) else ():
        if isinstance(node, ast.Import | ast.ImportFrom):
            for line, module in imports(node):
                if module.partition(".")[0] in SLOW_LIBRARIES:
                    yield line, f"imports {module} with the module"


def lacks_docstring(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """Every module says what it is, every public class and function what it does; overrides inherit theirs."""
    if not ast.get_docstring(tree):
        yield 1, "module without a docstring"
    for node in tree.body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_"):
            overloaded = any(ast.unparse(decorator).endswith("overload") for decorator in node.decorator_list)
            if not ast.get_docstring(node) and not overloaded and node.name != "main":
                yield node.lineno, f"{node.name} without a docstring"


def is_too_long(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    lines = len((ROOT / name).read_text(encoding="utf-8").splitlines())
    if lines > MAX_FILE_LINES:
        yield lines, f"{lines} lines, {MAX_FILE_LINES} at most"
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield node.lineno, f"{node.name} has {length} lines, {MAX_FUNCTION_LINES} at most"


def prints(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """Library code logs; only the command line and the examples print."""
    if name.startswith("zoo/cli/") or "/examples/" in name:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.stdout.write", "sys.stderr.write"):
            yield node.lineno, ast.unparse(node.func)


def swallows_errors(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """No bare except, none for every Exception that neither raises nor reports it, and none that does nothing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            kinds = {part.id for part in ast.walk(node.type) if isinstance(part, ast.Name)} if node.type else set()
            parts = [part for statement in node.body for part in ast.walk(statement)]
            told = any(isinstance(part, ast.Name) and part.id == node.name for part in parts)
            raises = any(isinstance(part, ast.Raise) for part in parts)
            if node.type is None:
                yield node.lineno, "bare except"
            elif kinds & {"Exception", "BaseException"} and not (raises or told):
                yield node.lineno, "an except for everything that neither raises nor reports it"
            elif all(isinstance(part, ast.Pass) for part in node.body):
                yield node.lineno, "an except that does nothing; contextlib.suppress says so openly"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            yield from (
                (node.lineno, "suppress of everything")
                for item in node.args
                if ast.unparse(item) in ("Exception", "BaseException")
            )


def swallows_arguments(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """No constructor takes **kwargs: a misspelt argument must raise."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__" and node.args.kwarg:
            yield node.lineno, f"**{node.args.kwarg.arg} in a constructor"


def holds_machine_paths(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """No text names a place on somebody's machine."""
    absolute = re.compile(r"(?<![\w.:/~<>)}\]*-])/(?!dev/null)[A-Za-z_][\w.-]*/[\w.-]+|\b[A-Za-z]:\\\\?\w")
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = absolute.search(node.value)
            if found:
                yield node.lineno, found.group()


def holds_home_paths(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """As above for tests, which may invent absolute paths, but not real ones."""
    for line, path in holds_machine_paths(tree, name):
        if re.match(r"/(home|Users|root|mnt|media|opt|srv|usr|var|tmp|data|work\w*)/", path):
            yield line, path


def is_unfinished(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    words = re.compile(r"#.*\b(TODO|FIXME|XXX|HACK)\b")
    for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1):
        if words.search(line):
            yield number, line.strip()


RULES: tuple[Rule, ...] = (
    imports_across, branches_on_a_task, imports_relatively, imports_slow_libraries_at_once, lacks_docstring,
    is_too_long, prints, swallows_errors, swallows_arguments, holds_machine_paths, is_unfinished,
)  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds_in_every_source_file(rule: Rule) -> None:
    broken = [
        f"{name}:{line}: {what}"
        for name, tree in ((path.relative_to(ROOT).as_posix(), parsed(path)) for path in SOURCES)
        for line, what in rule(tree, name)
    ]
    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize("rule", [holds_home_paths, is_unfinished], ids=lambda rule: rule.__name__)
def test_rule_holds_in_tests_and_benchmarks(rule: Rule) -> None:
    broken = [
        f"{name}:{line}: {what}"
        for name, tree in ((path.relative_to(ROOT).as_posix(), parsed(path)) for path in OTHERS)
        for line, what in rule(tree, name)
        if name != "tests/test_architecture.py"
    ]
    assert not broken, "\n" + "\n".join(broken)


BREACHES: tuple[tuple[Rule, str, str], ...] = (
    (imports_across, "zoo/a.py", "def f():\n    from vision.data import jpeg"),
    (imports_across, "nlp/a.py", "import importlib\nimportlib.import_module('vision.data')"),
    (branches_on_a_task, "zoo/a.py", "if task == 'vision/detection':\n    x = 1"),
    (branches_on_a_task, "zoo/a.py", "x = 1 if task.startswith('nlp/') else 2"),
    (branches_on_a_task, "zoo/a.py", "match task:\n    case 'rl/value_based':\n        x = 1"),
    (imports_relatively, "zoo/a.py", "from . import b"),
    (imports_slow_libraries_at_once, "zoo/a.py", "try:\n    import timm.models\nexcept ImportError:\n    timm = None"),
    (lacks_docstring, "zoo/a.py", "x = 1"),
    (lacks_docstring, "zoo/a.py", '"""Module."""\ndef f(): ...'),
    (prints, "zoo/a.py", "print(1)"),
    (swallows_errors, "zoo/a.py", "try:\n    f()\nexcept:\n    raise"),
    (swallows_errors, "zoo/a.py", "try:\n    f()\nexcept (OSError, Exception):\n    x = 1"),
    (swallows_errors, "zoo/a.py", "try:\n    f()\nexcept OSError:\n    pass"),
    (swallows_errors, "zoo/a.py", "with contextlib.suppress(Exception):\n    f()"),
    (swallows_arguments, "zoo/a.py", "class A:\n    def __init__(self, **kwargs): ..."),
    (holds_machine_paths, "zoo/a.py", "path = '/home/me/data'"),
    (holds_machine_paths, "zoo/a.py", "path = f'see /srv/models/{name}'"),
    (holds_machine_paths, "zoo/a.py", "path = 'C:\\\\Users'"),
)  # fmt: skip


@pytest.mark.parametrize(("rule", "name", "source"), BREACHES)
def test_rule_sees_a_breach(rule: Rule, name: str, source: str) -> None:
    """Fails if a rule cannot fail."""
    assert list(rule(ast.parse(source), name))


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (imports_across, "import vision.data, zoo.records"),
        (imports_slow_libraries_at_once, "if TYPE_CHECKING:\n    import timm\ndef f():\n    import timm"),
        (swallows_errors, "try:\n    f()\nexcept Exception as e:\n    raise ValueError from e"),
        (holds_machine_paths, "a = 'https://host/path/x.pth or train/val/x, owner/name, 1/2/3, photos/<class>/*.jpg'"),
    ],
)
def test_rule_lets_the_innocent_pass(rule: Rule, source: str) -> None:
    """Fails if a rule forbids what is right."""
    assert not list(rule(ast.parse(source), "vision/a.py"))


def test_every_package_is_looked_at() -> None:
    """Fails if the sources are not found, which would let every rule hold."""
    assert {package_of(path.relative_to(ROOT).as_posix()) for path in SOURCES} == {CORE, *DOMAINS}
    assert len(SOURCES) > 60


# -- Catalogues

CATALOG_FILES = sorted(path for domain in DOMAINS for path in (ROOT / domain).glob("catalog.py"))


def catalogs() -> Iterator[Catalog]:
    for point in entry_points(group=CATALOG_GROUP):
        if point.module.partition(".")[0] in DOMAINS:
            yield point.load()


def entries() -> Iterator[Entry]:
    for catalog in catalogs():
        yield from catalog.models


def weights() -> Iterator[tuple[Entry, Weights]]:
    yield from ((entry, record) for entry in entries() for record in entry.weights)


@pytest.mark.parametrize("path", CATALOG_FILES, ids=lambda path: path.parent.name)
def test_catalogue_loads_nothing_heavy(path: Path) -> None:
    """Fails if a catalogue imports a model file, which would make `zoo list` import torch."""
    module = f"{path.parent.name}.catalog"
    code = f"import sys, {module}; print(*sorted({set(SLOW_NAMES)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_every_catalogue_is_installed() -> None:
    """Fails if a domain has a catalogue that no entry point names."""
    installed = {point.module for point in entry_points(group=CATALOG_GROUP)}
    assert {f"{path.parent.name}.catalog" for path in CATALOG_FILES} <= installed


def test_builders_resolve_and_take_their_configuration() -> None:
    for entry in entries():
        builder = import_object(entry.builder)
        assert callable(builder), entry.name
        check_arguments(entry.name, builder, entry.config)
        parameters = inspect.signature(builder).parameters
        missing = [
            name
            for name, parameter in parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            and name not in entry.config
        ]
        assert not missing, f"{entry.name} cannot be built without {missing}"


def test_entries_are_complete() -> None:
    """Fails if an entry lacks what `zoo list` and `zoo info` show, or its losses do not resolve."""
    tasks = {task.name for catalog in catalogs() for task in catalog.tasks}
    for entry in entries():
        assert entry.task in tasks, entry.name
        assert entry.summary, entry.name
        assert entry.summary[-1] != ".", entry.name
        assert entry.paper is not None, entry.name
        assert re.fullmatch(r"arXiv:\d{4}\.\d{4,5}|doi:10\.\S+", entry.paper.id), entry.name
        assert entry.num_params, entry.name
        if "losses" in entry.task_options:
            losses = import_object(entry.task_options["losses"])
            assert list(inspect.signature(losses).parameters) == ["model", "batch"], entry.name


def test_tasks_resolve() -> None:
    """Fails if a task's class or reader does not resolve, or trains under another name."""
    from zoo.training import Task

    for catalog in catalogs():
        for task in catalog.tasks:
            found: Any = import_object(task.builder)
            assert issubclass(found, Task)
            assert not inspect.isabstract(found), f"{task.name} lacks {sorted(found.__abstractmethods__)}"
            assert found.name == task.name


def test_readers_take_what_entries_hand_over() -> None:
    """Fails if training a model hands its task's reader an argument that this does not know."""
    readers = {task.name: import_object(task.reader) for catalog in catalogs() for task in catalog.tasks}
    for entry in entries():
        records = [entry.preprocessing, *(weights.preprocessing for weights in entry.weights)]
        stated = {"preprocessing": records, "input_shape": [entry.input_shape]}
        given = {name: None for name, values in stated.items() if any(values)}
        check_arguments(f"The reader of {entry.task} for {entry.name}", readers[entry.task], given)


def test_demos_resolve() -> None:
    for catalog in catalogs():
        for name, reference in catalog.demos.items():
            assert {"out", "quick"} == set(inspect.signature(import_object(reference)).parameters), name


def test_weights_are_complete() -> None:
    """Fails if weights have a reference that does not resolve, too few digits, or labels for another head."""
    for entry, record in weights():
        title = f"{entry.name} {record.tag}"
        assert re.fullmatch(r"[0-9a-f]{8,64}", record.sha256), title
        assert record.source.startswith(("https://", "hf-hub:", "package:")), title
        assert record.licence, title
        if record.metrics:
            assert record.protocol, f"{title}: metrics without the protocol that measured them"
        if isinstance(record.preprocessing, ImagePreprocessing) and entry.input_shape:
            assert len(record.preprocessing.mean) == entry.input_shape[0], title
        if record.labels is not None:
            assert len(import_object(record.labels)()) == record.num_classes, title
        if record.key_conversion is not None:
            assert callable(import_object(record.key_conversion)), title
