"""How the product's code is built: its size, its imports and its words, with the limits that they keep.

`python -m tests.bench.house` prints one line a measure and exits with 1 where a limit is passed. Imports
count wherever they stand: at the top of a module, in a function, or under `TYPE_CHECKING`.
"""

import ast
import re
import statistics
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("common", "models", "hw", "pipeline", "retort")

LINES, LOOSE, MODULE_LINES, FUNCTION_LINES = 34_000, 6, 300, 40

CONCEPTS = {
    "imported": ("brought", "made elsewhere"),
    "image": ("picture", "pictures"),
    "candidate": ("contender", "contenders"),
    "rung result": ("finding", "findings"),
    "training setup": ("workshop", "workshops"),
}
"""The word for a concept, and the words that must not stand for it."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A module of the product: its dotted name, where it is, and its text."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        """The source."""
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        """The source, parsed."""
        return ast.parse(self.text)

    @property
    def lines(self) -> int:
        """Lines of the file, as `wc -l` counts them."""
        return self.text.count("\n")

    def functions(self) -> Iterator[Function]:
        """Every function and method."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def broad_excepts(self) -> int:
        """Handlers that catch everything."""
        broad = {None, "Exception", "BaseException"}
        handlers = (node for node in ast.walk(self.tree) if isinstance(node, ast.ExceptHandler))
        return sum(
            (node.type.id if isinstance(node.type, ast.Name) else node.type) in broad for node in handlers
        )

    def imports(self, known: Mapping[str, "Module"]) -> set[str]:
        """The product's modules that it imports."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                modules = inner & known.keys()
                found |= modules
                if modules != inner:
                    found.add(node.module)
        return (found & known.keys()) - {self.name}


def modules(root: Path = ROOT) -> dict[str, Module]:
    """All modules of the product, by name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            found[name] = Module(name, path)
    return found


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other: strongly connected components (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            place = stack.index(node)
            group = stack[place:]
            del stack[place:]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def layers(root: Path = ROOT) -> list[list[set[str]]]:
    """The stacks of layers that pyproject.toml declares to import-linter, the highest layer first."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    return [
        [set(re.split(r"\s*[|:]\s*", layer)) for layer in contract["layers"]]
        for contract in settings["contracts"]
        if contract["type"] == "layers"
    ]


def arrows_up(graph: Mapping[str, set[str]], stacks: list[list[set[str]]]) -> list[str]:
    """Imports of a higher layer, or of another part of the same one."""
    found = []
    for stack in stacks:
        place = {name: (height, name) for height, layer in enumerate(stack) for name in layer}

        def layer_of(module: str, place: Mapping[str, tuple[int, str]] = place) -> tuple[int, str] | None:
            parts = module.split(".")
            prefixes = (".".join(parts[:size]) for size in range(len(parts), 0, -1))
            return next((place[prefix] for prefix in prefixes if prefix in place), None)

        for module, imported in graph.items():
            for other in sorted(imported):
                here, there = layer_of(module), layer_of(other)
                if here and there and here[1] != there[1] and there[0] <= here[0]:
                    found.append(f"{module} -> {other}")
    return found


def outside_layers(names: Mapping[str, Module], stacks: list[list[set[str]]]) -> list[str]:
    """Modules that no stack of layers covers."""
    covered = {name for stack in stacks for layer in stack for name in layer}
    return [
        name for name in names if not any(name == each or name.startswith(f"{each}.") for each in covered)
    ]


def loose(names: Mapping[str, Module]) -> Counter[str]:
    """Modules that stand at a package's top, `__init__` and `__main__` aside."""
    at_top = (module.path for module in names.values() if module.path.parent.parent == ROOT)
    return Counter(path.parent.name for path in at_top if not path.stem.startswith("__"))


def words(names: Mapping[str, Module]) -> dict[str, Counter[str]]:
    """How often each concept's word is used, and each that must not stand for it."""
    text = "\n".join(module.text for module in names.values()).replace("_", " ")
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower()
    return {
        word: Counter({each: len(re.findall(rf"\b{each}\b", text)) for each in (word, *others)})
        for word, others in CONCEPTS.items()
    }


def annotated(function: Function) -> bool:
    """Whether every argument and the result have a type."""
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    named = [each for each in arguments if each is not None and each.arg not in ("self", "cls")]
    return all(each.annotation for each in named) and (
        function.returns is not None or function.name == "__init__"
    )


def measures(names: Mapping[str, Module]) -> Iterator[tuple[str, str, bool]]:
    """What is measured: its name, what was found, and whether that keeps the limit."""
    functions = [function for module in names.values() for function in module.functions()]
    sizes = sorted((each.end_lineno or each.lineno) - each.lineno + 1 for each in functions)
    lines = sum(module.lines for module in names.values())
    graph = {name: module.imports(names) for name, module in names.items()}
    stacks = layers()
    quantiles = statistics.quantiles(sizes, n=100)
    yield "modules", str(len(names)), True
    yield "lines", f"{lines}, at most {LINES}", lines <= LINES
    for module in names.values():
        if module.lines > MODULE_LINES:
            yield "module", f"{module.name} has {module.lines} lines, about {MODULE_LINES} is the limit", True
    yield (
        "function lines",
        f"median {quantiles[49]:.0f}, p90 {quantiles[89]:.0f}, p99 {quantiles[98]:.0f}",
        (quantiles[98] <= FUNCTION_LINES),
    )
    share = sum(map(annotated, functions)) / len(functions)
    yield "annotated", f"{share:.2%} of {len(functions)} functions", share == 1
    yield "broad excepts", str(sum(module.broad_excepts() for module in names.values())), True
    for name, found in (
        ("import circles", [", ".join(group) for group in circles(graph)]),
        ("arrows up", arrows_up(graph, stacks)),
        ("in no layer", outside_layers(names, stacks)),
    ):
        yield name, "; ".join((str(len(found)), *found)), not found
    for package, count in loose(names).items():
        yield "loose modules", f"{package} {count}, at most {LOOSE}", count <= LOOSE
    for word, found in words(names).items():
        others = {each: count for each, count in found.items() if each != word}
        yield "words", f"{word} {found[word]}, {others}", not any(others.values())


def main() -> int:
    """Print all measures; 1 where one passes its limit."""
    good = True
    for name, found, kept in measures(modules()):
        print(f"{'    ' if kept else 'OVER'}  {name:<15} {found}")
        good = good and kept
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
