"""The part of ddpm_tutorial that an assignment gives to the student's process."""

import ast
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import ddpm_tutorial.names  # loads every module that a name may come from

PACKAGE = Path(ddpm_tutorial.__file__).parent
CLOSED = """

def _close(given):
    import sys
    from types import ModuleType

    for name, held in sorted(sys.modules.items()):
        if name.startswith(__name__ + "."):
            above, _, last = name.rpartition(".")
            face = ModuleType(name, held.__doc__)
            face.__file__, face.__path__, face.__getattr__ = held.__file__, [], __getattr__
            for key, value in vars(held).items():
                own = key.isupper() or getattr(value, "__module__", "") == name
                own = own or key in getattr(held, "__all__", ())
                if key in given or (last in given and own and key[0] != "_"):
                    setattr(face, key, value)
            sys.modules[name] = face
            setattr(sys.modules[above], last, face)
    __path__.clear()


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(
        f"{name} is not to be had in this assignment: write it yourself, or see the first cell"
    )


_close(GIVEN)
del _close
"""


def copy_package(folder: Path, names: Sequence[str]) -> None:
    """A ddpm_tutorial that gives these names alone.

    It holds the modules that define them, and what those import. A name may be a module that stands
    beside the floors, such as `plotting`. Once all are loaded, a module shows no other names, and
    nothing more is loaded. Raises LookupError for a name that the package lacks.
    """
    folder.mkdir(parents=True)
    root = "\n".join(f"from {_home(name)} import {name}" for name in names)
    wanted, copied = [*_modules(root)], set[Path]()
    while wanted:
        module = wanted.pop()
        if module not in copied:
            copied.add(module)
            (folder / module).parent.mkdir(exist_ok=True)
            (folder / module).with_name("__init__.py").touch()
            shutil.copy(PACKAGE / module, folder / module)
            wanted += _modules((PACKAGE / module).read_text(encoding="utf-8"))
    (folder / "__init__.py").write_text(
        root + CLOSED.replace("GIVEN", repr(list(names))), encoding="utf-8"
    )
    (folder / "assets").symlink_to(PACKAGE / "assets")


def _home(name: str) -> str:
    """What to import a name from."""
    if (PACKAGE / f"{name}.py").exists():
        return "ddpm_tutorial"
    for module, content in list(sys.modules.items()):
        if module.startswith("ddpm_tutorial.") and name in getattr(content, "__all__", ()):
            return module
    raise LookupError(f"the assignment's metadata name {name!r}, which ddpm_tutorial does not have")


def _modules(source: str) -> Iterator[Path]:
    """The files of the package, seen from its folder, that a source imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                module = Path(f"{name.replace('.', '/')}.py")
                if module.parts[0] == PACKAGE.name and (PACKAGE.parent / module).is_file():
                    yield module.relative_to(PACKAGE.name)
