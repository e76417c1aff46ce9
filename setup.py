"""Three extensions and two switches; everything else about the build is in pyproject.toml.

CYSERVE_NO_EXTENSIONS=1 builds the pure-Python package; CYSERVE_REQUIRE_EXTENSIONS=1 refuses to.
"""

import os
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

ext_modules = []
if not pure:
    from Cython.Build import cythonize

    flags = ["-O2", "-Wall", "-Wextra", "-Wno-unused-parameter"]
    if os.environ.get("CI"):
        flags.append("-Werror")
    names = ["_parser", "_io"]
    if sys.platform.startswith("linux"):  # elsewhere there is no epoll
        names.append("_poll")
    ext_modules = cythonize(
        [
            Extension(
                f"cyserve.{name}",
                [f"cyserve/{name}.pyx"],
                depends=["cyserve/_grammar.py", "cyserve/_io.pxd"],
                extra_compile_args=[] if sys.platform == "win32" else flags,
            )
            for name in names
        ],
        build_dir="build/cython",
    )

print("cyserve: pure-Python build" if pure else "cyserve: compiled build", file=sys.stderr)
setup(ext_modules=ext_modules)
