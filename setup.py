"""The extensions and two switches; everything else about the build is in pyproject.toml.

CYSERVE_NO_EXTENSIONS=1 builds the pure-Python package; CYSERVE_REQUIRE_EXTENSIONS=1 refuses to.
"""

import os
import runpy
import sys

from setuptools import Extension, setup


def switch(name: str) -> bool:
    value = os.environ.get(name, "")
    if value not in {"", "0", "1"}:
        sys.exit(f"setup.py: {name}={value!r}: allowed are 0 and 1")
    return value == "1"


no_extensions = switch("CYSERVE_NO_EXTENSIONS")
require_extensions = switch("CYSERVE_REQUIRE_EXTENSIONS")
if no_extensions and require_extensions:
    sys.exit("setup.py: CYSERVE_NO_EXTENSIONS and CYSERVE_REQUIRE_EXTENSIONS are both set")
pure = no_extensions or (sys.implementation.name != "cpython" and not require_extensions)

# How the engine is compiled (the .pyx files of the kernel say it themselves). It has to behave as
# the same source does when it is interpreted, so C types come from the .pxd alone.
ENGINE_DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,  # annotations are for readers and mypy; `int` stays unbounded
    "infer_types": None,  # C numbers only where a .pxd says so
    "binding": True,  # functions look like Python's to inspect, profilers and decorators
    "nonecheck": True,  # an attribute of None is an error, not a crash
    "auto_pickle": False,  # nothing here is pickled
}


def extension(name: str, suffix: str) -> Extension:
    flags = ["-O2", "-fno-plt", "-Wall", "-Wextra", "-Wno-unused-parameter"]
    if os.environ.get("CI"):
        flags.append("-Werror")
    return Extension(
        f"cyserve.{name}",
        [f"cyserve/{name.replace('.', '/')}{suffix}"],
        depends=["cyserve/_grammar.py"] if suffix == ".pyx" else [],
        extra_compile_args=[] if sys.platform == "win32" else flags,
    )


ext_modules = []
if not pure:
    from Cython.Build import cythonize

    compiled = runpy.run_path("cyserve/_compiled.py")
    kernel = [extension(name, ".pyx") for name in compiled["KERNEL"]]
    engine = [extension(name, ".py") for name in compiled["ENGINE"]]
    ext_modules = [
        *cythonize(kernel, build_dir="build/cython"),
        *cythonize(engine, build_dir="build/cython", compiler_directives=ENGINE_DIRECTIVES),
    ]

print("cyserve: pure-Python build" if pure else "cyserve: compiled build", file=sys.stderr)
setup(ext_modules=ext_modules)
