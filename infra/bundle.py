"""
Pack each function into the zip that Cloud Functions builds: `python infra/bundle.py [OUT_DIR]`.

A zip holds the function's own files at its root, the package `rubydraw/` beside them, and nothing else. The same
sources give the same bytes on every machine, so Terraform, which names a bundle by its hash, deploys only changes.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT_DIR = ROOT / "infra" / "terraform" / "build"

FUNCTIONS = ("graphql", "worker")
FUNCTION_FILES = ("*.py", "*.graphql", "requirements.txt")
PACKAGE = "rubydraw"
PACKAGE_FILES = ("*.py", "*/*.py", "lua/*.lua", "py.typed")

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
REGULAR_FILE = 0o100644 << 16
UNIX = 3


def contents(function: str) -> dict[str, Path]:
    """Return the bundle of one function: name in the zip, in the zip's order, and the file it is read from."""
    own = _matching(ROOT / "functions" / function, FUNCTION_FILES)
    package = _matching(ROOT / "shared" / PACKAGE, PACKAGE_FILES)
    return dict(sorted((own | {f"{PACKAGE}/{name}": path for name, path in package.items()}).items()))


def write(function: str, out_dir: Path) -> Path:
    """Write one function's zip and return its path."""
    out_dir.mkdir(parents=True, exist_ok=True)
    target = out_dir / f"{function}.zip"
    # Stored, not deflated: versions of zlib compress to different bytes, and the sources are small.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as bundle:
        for name, path in contents(function).items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = UNIX, REGULAR_FILE
            bundle.writestr(entry, path.read_bytes())
    return target


def _matching(folder: Path, patterns: tuple[str, ...]) -> dict[str, Path]:
    """Return the files by their names, without the hidden ones that editors and macOS leave beside them."""
    paths = [path for pattern in patterns for path in folder.glob(pattern) if not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path for path in paths}


def main(out_dir: Path) -> None:
    for function in FUNCTIONS:
        path = write(function, out_dir)
        data, files = path.read_bytes(), len(contents(function))
        print(f"{path.name:12} {len(data):9,} bytes {files:3} files  sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT_DIR)
