"""Takes out of a service's environment what no service of ours can reach, then compiles the rest. Runs while an image is built.

Two wheels bring far more than is used: botocore describes some 400 services of AWS, of which we speak to one, and the Kubernetes
client has a class for each kind of object, twice, where we send and read plain JSON. Compiled they would be half of an image.

Compiling is worth its bytes, since a pod's root file system is read-only: what is not compiled here is compiled at every start.
A wheel that has changed its layout fails the build, so that nothing grows back unseen.
"""

import compileall
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Rule:
    """What of a package goes: everything that `pattern` finds in it, but for these names."""

    package: str
    pattern: str
    but: frozenset[str] = frozenset()


_SERVICES = frozenset({"s3", "sts"})  # sts: credentials of a service account, as EKS hands them out
_INIT = frozenset({"__init__.py"})
RULES = (
    Rule("botocore", "data/*/", _SERVICES),
    Rule("boto3", "data/*/", _SERVICES),
    Rule("boto3", "examples/"),
    # `kubernetes.aio` imports its synchronous twin, but neither loads these before somebody names one.
    Rule("kubernetes", "client/api/*.py", _INIT),
    Rule("kubernetes", "client/models/*.py", _INIT),
    Rule("kubernetes", "aio/client/api/*.py", _INIT),
    Rule("kubernetes", "aio/client/models/*.py", _INIT),
    # The same compressor again, for PyPy.
    Rule("zstandard", "_cffi.*.so"),
    Rule("greenlet", "tests/"),
    Rule("numpy", "**/tests/"),
    Rule("sqlalchemy", "testing/"),
)


def slim(packages: Path) -> int:
    """Apply all rules to a folder of installed packages; returns how many bytes went. Raises SystemExit on a rule without use."""
    gone = 0
    for rule in RULES:
        if not (packages / rule.package).is_dir():
            continue
        found = [path for path in _matches(packages, rule) if path.name not in rule.but]
        if not found:
            raise SystemExit(
                f"{rule.package} has no {rule.pattern} any more: look at what it has now, and mend {__file__}"
            )
        for path in found:
            gone += _size(path)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return gone


def _matches(packages: Path, rule: Rule) -> Iterator[Path]:
    wants_folder = rule.pattern.endswith("/")
    for path in sorted((packages / rule.package).glob(rule.pattern.rstrip("/"))):
        if path.exists() and path.is_dir() == wants_folder:
            yield path


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def main() -> None:
    packages = Path(sysconfig.get_path("purelib"))
    gone = slim(packages)
    if not compileall.compile_dir(packages, quiet=1, workers=0):
        raise SystemExit("some of it does not compile")
    print(f"{gone / 1e6:.0f} MB taken out, {_size(packages) / 1e6:.0f} MB stay", file=sys.stderr)


if __name__ == "__main__":
    main()
