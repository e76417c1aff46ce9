"""The extensions and three switches; everything else about the build is in pyproject.toml.

Compiled as many at a time as there are processors, with -O2 unless CFLAGS name another -O.
CYSERVE_NO_EXTENSIONS=1 builds the pure-Python package; CYSERVE_REQUIRE_EXTENSIONS=1 refuses to.
CYSERVE_PROFILE_GUIDED=1 compiles twice, with gcc: first with counters in it, which are filled by
having that build answer requests (benchmarks/training.py), then for what was counted. It takes some
minutes and either succeeds or leaves nothing.
"""

import itertools
import os
import runpy
import shutil
import subprocess
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


def switch(name: str) -> bool:
    value = os.environ.get(name, "")
    if value not in {"", "0", "1"}:
        sys.exit(f"setup.py: {name}={value!r}: allowed are 0 and 1")
    return value == "1"


no_extensions = switch("CYSERVE_NO_EXTENSIONS")
require_extensions = switch("CYSERVE_REQUIRE_EXTENSIONS")
if no_extensions and require_extensions:
    sys.exit("setup.py: CYSERVE_NO_EXTENSIONS and CYSERVE_REQUIRE_EXTENSIONS are both set")
profile_guided = switch("CYSERVE_PROFILE_GUIDED")
if no_extensions and profile_guided:
    sys.exit("setup.py: CYSERVE_NO_EXTENSIONS and CYSERVE_PROFILE_GUIDED are both set")
pure = no_extensions or (sys.implementation.name != "cpython" and not require_extensions)

if pure and profile_guided:
    sys.exit(f"setup.py: CYSERVE_PROFILE_GUIDED: {sys.implementation.name} compiles nothing")

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
    flags = ["-fno-plt", "-Wall", "-Wextra", "-Wno-unused-parameter"]
    if "-O" not in os.environ.get("CFLAGS", ""):
        flags.append("-O2")  # Python's own flags come first and often say -O3: slower to compile
    if os.environ.get("CI"):
        flags.append("-Werror")
    return Extension(
        f"cyserve.{name}",
        [f"cyserve/{name.replace('.', '/')}{suffix}"],
        depends=["cyserve/_grammar.py"] if suffix == ".pyx" else [],
        extra_compile_args=[] if sys.platform == "win32" else flags,
    )


class BuildExt(build_ext):
    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count() or 1


class ProfileGuided(BuildExt):
    """Compiles everything, has it trained, and compiles it again for where it will be used.

    gcc finds an object's profile by the object's path, so both times are in the same build_temp.
    """

    def build_extensions(self) -> None:
        self.refuse_other_compilers()
        place, self.force = self.build_lib, True  # whatever lies there was built without
        profile = os.path.abspath(os.path.join(self.build_temp, "profile"))
        self.build_lib = os.path.abspath(os.path.join(self.build_temp, "instrumented"))
        for leftover in (profile, self.build_lib):
            shutil.rmtree(leftover, ignore_errors=True)
        self.compile(
            [f"-fprofile-generate={profile}", "-fprofile-update=prefer-atomic"],
            ["-fprofile-generate"],
        )
        self.train()
        self.build_lib = place
        # What was never reached is optimised as usual; threads may leave sums that do not add up.
        using = [f"-fprofile-use={profile}", "-fprofile-partial-training", "-fprofile-correction"]
        self.compile([*using, "-Werror=missing-profile"])

    def compile(self, flags: list[str], link_flags: list[str] | None = None) -> None:
        """Compiles all extensions with these flags behind their own."""
        usual = [extension.extra_compile_args for extension in self.extensions]
        for extension in self.extensions:
            extension.extra_compile_args = extension.extra_compile_args + flags
            extension.extra_link_args = link_flags or []
        super().build_extensions()
        for extension, own in zip(self.extensions, usual, strict=True):
            extension.extra_compile_args = own

    def refuse_other_compilers(self) -> None:
        command = [*getattr(self.compiler, "compiler_so", [])]
        try:
            asked = [*command, "-dM", "-E", "-x", "c", os.devnull]
            macros = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            macros = ""
        if "__GNUC__" not in macros or "__clang__" in macros:
            words = itertools.takewhile(lambda word: word[0] != "-", command)
            sys.exit(f"setup.py: CYSERVE_PROFILE_GUIDED: needs gcc, not {' '.join(words)!r}")

    def train(self) -> None:
        """Has the instrumented build, beside a copy of its Python modules, answer requests."""
        shutil.copytree(
            "cyserve",
            os.path.join(self.build_lib, "cyserve"),
            ignore=shutil.ignore_patterns("*.so", "__pycache__"),
            dirs_exist_ok=True,
        )
        command = [sys.executable, "-m", "benchmarks.training", "--cyserve", self.build_lib]
        print(f"cyserve: {' '.join(command)}", file=sys.stderr, flush=True)
        if code := subprocess.run(command, check=False).returncode:
            sys.exit(f"setup.py: CYSERVE_PROFILE_GUIDED: the training failed (exit code {code})")


kind = "pure" if pure else "profiled" if profile_guided else "compiled"
# A directory for each: tox builds for several Pythons at once, and no kind is mixed with another.
options = {"build": {"build_base": f"build/{kind}-{sys.implementation.cache_tag}"}}
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

print(f"cyserve: {kind} build", file=sys.stderr)
setup(
    ext_modules=ext_modules,
    options=options,
    cmdclass={"build_ext": ProfileGuided if profile_guided else BuildExt},
)
