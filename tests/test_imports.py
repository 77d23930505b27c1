"""Who may import whom: the table of the design, held against the syntax tree of every file."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import permutations, product
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("tracker", "train", "export")
OURS = (*PACKAGES, "benchmarks", "demos", "tools")

# What a package may import besides the standard library. Names stand for themselves and all below them.
MAY_IMPORT = {
    "tracker.face": ("tracker.face", "numpy"),
    "tracker": ("tracker", "numpy", "cv2", "jsonargparse", "yaml", "tqdm"),
    "train": (
        "train",
        "landmark_tracker",
        "tracker.analysis.head_pose",
        "tracker.face",
        "tracker.datasets",
        "tracker.metrics",
        "tracker.errors",
        "tracker.cli.config_files",
        "tracker.cli.suggestions",
        "tracker.system.commit",
        "tracker.system.files",
        "tracker.system.process",
        "tracker.redaction",
        "torch",
        "lightning",
        "numpy",
        "cv2",
        "scipy",
        "yaml",
    ),
    "train.label": (
        "train",
        "tracker",
        "landmark_tracker",
        "cv2",
        "numpy",
        "tqdm",
    ),  # runs detectors and models on pictures
    "train.labels": (
        "train.labels",
        "train.label",
        "train.extras",
        "tracker.datasets",
        "tracker",
        "cv2",
        "numpy",
        "tqdm",
    ),
    "export": (
        *(
            "export",
            "train.models",
            "train.codecs",
            "train.task",
            "train.loaders",
            "tracker.datasets",
            "train.objectives",
        ),
        "train.checkpoints",
        "train.exported",
        "train.extras",
        "train.packaged_configs",
        "landmark_tracker",
        *(
            "tracker.face",
            "tracker.metrics",
            "tracker.engines",
            "tracker.errors",
            "tracker.cli.command",
            "tracker.system.commit",
            "tracker.system.extras",
            "tracker.system.files",
            "tracker.system.onnx_runtime",
        ),
        *("torch", "lightning", "networkx", "onnx", "numpy", "scipy", "yaml", "tracker.cli.config_files"),
    ),
}
# What one file alone may import besides.
ALSO = {
    "export.calibration.visibility": ("train.augmentation",),
    "tracker.face.crop": ("cv2",),
    "train.checkpoints": ("tracker.weights",),
    "train.exported": ("tracker.engines.spec", "tracker.weights", "onnx"),
    "train.mix": ("tracker.cli.command",),
    "train.mirror": (
        *("tracker.cli.command", "tracker.engines.onnx", "tracker.tracking.estimator", "tracker.weights.packaged"),
    ),
    "train.widen": ("tracker.cli.command",),
    "train.tables.__main__": ("tracker.cli.command",),
    "tracker.datasets.matlab_process": ("scipy",),
    "tracker.tracking.association": ("scipy",),
    "tracker.pyinstaller.hook-tracker": ("PyInstaller",),
}
# What may be imported in these files only, and there only when it is used.
WHEN_USED = {
    "onnxruntime": ("tracker.system.onnx_runtime", "tracker.engines.onnx", "export.int8.quantise"),
    "tensorrt": ("tracker.engines.tensorrt.plan",),
    "tensorrt_rtx": ("tracker.engines.tensorrt.plan",),
    "h5py": ("tracker.datasets.cofw", "tracker.datasets.matlab_process"),
    "tritonclient": ("tracker.engines.triton",),
    "google": ("export.triton",),
    "litert_torch": ("export.runtimes.litert",),
    "ai_edge_litert": ("export.runtimes.litert",),
    "ncnn": ("export.runtimes.ncnn",),
    "pnnx": ("export.runtimes.ncnn",),
    "coremltools": ("export.runtimes.coreml", "export.runtimes.mil"),
    "pycuda": ("tracker.engines.tensorrt.cuda",),
    "skimage": ("tracker.sources.demo",),
    "mediapipe": ("tracker.detectors.mediapipe", "train.labels.facemesh_worker"),
    "matplotlib": ("tracker.metrics.accuracy", "tracker.evaluation.plots", "train.report"),
    "pythonosc": ("tracker.sinks.osc",),
    "websockets": ("tracker.sinks.live.server",),
    "imageio_ffmpeg": ("tracker.system.ffmpeg",),
    "pyarrow": ("tracker.sinks.parquet",),
    "pandas": ("tracker.table", "tracker.result"),
    "supervision": ("tracker.key_points", "tracker.result"),
}
NEVER_IN_TRACKER = {"torch", "lightning", "train", "export"}
STAGES = ("sources", "detectors", "engines", "tracking.schedule", "tracking.association", "tracking.smoothing", "sinks")
RECORDS = {("sinks", "sources")}  # a sink is given the Frame


@dataclass(frozen=True)
class Import:
    """module: where. target: what, as a dotted name. late: only when a function runs or types are checked."""

    module: str
    target: str
    late: bool

    def below(self, *names: str) -> bool:
        return any(self.target == name or self.target.startswith(f"{name}.") for name in names)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for name in OURS for path in sorted((ROOT / name).rglob("*.py"))}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def asked_for(node: ast.AST) -> list[str]:
    """The names in an import statement, or in a call such as import_module("pycuda.driver")."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide who imports whom"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        return [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    return []


def walk(node: ast.AST, late: bool = False) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        yield from ((name, late) for name in asked_for(child))
        function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from walk(child, late or function or is_type_checking(child))


def imports_of(module: str) -> list[Import]:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"), str(MODULES[module]))
    return [Import(module, name, late) for name, late in walk(tree)]


ALL = [found for module in MODULES for found in imports_of(module)]


def package_of(module: str) -> str:
    """The line of the table that holds for the module."""
    return max((p for p in MAY_IMPORT if f"{module}.".startswith(f"{p}.")), key=len)


def standard(found: Import) -> bool:
    return found.target.split(".")[0] in sys.stdlib_module_names


def test_the_files_are_found() -> None:
    assert {"tracker.face.crop", "tracker.engines", "train.models.edge", "export.onnx"} <= MODULES.keys()
    assert Import("tracker.face.crop", "cv2", late=False) in ALL
    assert Import("tracker.engines.onnx", "onnxruntime", late=True) in ALL
    assert Import("tracker.engines.tensorrt.cuda", "pycuda.driver", late=True) in ALL


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_what_its_line_allows(package: str) -> None:
    wrong = [
        f"{found.module} imports {found.target}"
        for found in ALL
        if found.module.split(".")[0] in PACKAGES and package_of(found.module) == package
        if not standard(found)
        and not found.below(*MAY_IMPORT[package], *ALSO.get(found.module, ()))
        and not (found.late and found.below("typing_extensions"))
        and found.module not in WHEN_USED.get(found.target.split(".")[0], ())
    ]
    assert wrong == []


def test_heavy_parts_are_imported_only_when_used() -> None:
    assert [f for f in ALL if f.module.split(".")[0] in PACKAGES and f.below(*WHEN_USED) and not f.late] == []


def test_the_runtime_never_imports_training_or_export() -> None:
    assert [f for f in ALL if f.module.startswith("tracker") and f.below(*NEVER_IN_TRACKER)] == []


def test_stages_do_not_import_one_another() -> None:
    wrong = []
    for stage in STAGES:
        others = [f"tracker.{other}" for other in STAGES if other != stage and (stage, other) not in RECORDS]
        wrong += [f for f in ALL if f"{f.module}.".startswith(f"tracker.{stage}.") and f.below(*others)]
    assert wrong == []


def test_targets_and_losses_do_not_import_one_another() -> None:
    """A target is made from labels, a loss compares it with the answer of a net; objectives and terms join them."""
    pairs = permutations(("train.targets", "train.losses"))
    wrong = [f for f, (room, other) in product(ALL, pairs) if f.module.startswith(room) and f.below(other)]
    assert wrong == []


def test_others_use_public_names_only() -> None:
    """Benchmarks and demos are written as an application is; nobody imports another's private names."""
    wrong = [
        found
        for found in ALL
        if found.below(*PACKAGES, "benchmarks", "tools")
        and any(part.startswith("_") for part in found.target.removeprefix("benchmarks._lib").split("."))
    ]
    assert wrong == []
    assert [
        f for f in ALL if f.module.split(".")[0] in PACKAGES and f.below("benchmarks", "demos", "tests", "tools")
    ] == []


def test_there_are_no_circles() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for found in ALL:
        if not found.late:
            parents = [found.target, found.target.rpartition(".")[0]]  # a module, or a name in a module
            graph[found.module] |= {p for p in parents if p in MODULES and p != found.module}
    for module in graph:  # `from tracker.engines import x` names the package, not the modules in it
        graph[module] = {m for m in graph[module] if not any(n.startswith(f"{m}.") for n in graph[module])}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


BLOCKED = (
    "torch",
    "lightning",
    "matplotlib",
    "scipy",
    "h5py",
    "PIL",
    "pandas",
    "skimage",
    "mediapipe",
    "onnxruntime",
    "tensorrt",
    "tensorrt_rtx",
    "pycuda",
    "tritonclient",
    "google",
    "grpc",
    "pythonosc",
    "websockets",
    "pyarrow",
)
IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    sys.modules[name] = None  # importing it raises ImportError
import tracker
for module in pkgutil.walk_packages(tracker.__path__, "tracker."):
    if "-" not in module.name:  # a hook, which PyInstaller runs
        importlib.import_module(module.name)
assert not {"train", "export"} & set(sys.modules)
print(" ".join(tracker.__all__))
"""


def test_every_module_of_the_runtime_imports_without_the_rest() -> None:
    command = [sys.executable, "-W", "error", "-c", IMPORT_EVERYTHING, *BLOCKED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"Tracker", "TrackerError", "Frame", "Landmarks", "Roi"} <= set(done.stdout.split())
