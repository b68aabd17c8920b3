"""Whoever imports this has imported what a notebook needs: the warm process does, and kernels are forks of it.

An exception to the rule that nothing happens on import, like lib.runner.die_with_parent, which comes first.
"""

import gc
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# A third of the import of Great Expectations, for one distribution test and its chart. Both are packages.
SELDOM_USED = ("scipy.stats", "altair")


class _Postponed(ModuleType):
    """A module that is loaded when something in it is first used; merely being listed or described does not load it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # which is asked for when a module below this one is imported
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = ModuleType
        spec = self.__spec__
        spec.loader = self.__loader__ = spec.loader_state
        self.__path__ = spec.submodule_search_locations
        spec.loader.exec_module(self)
        return getattr(self, name)


class _Postpone(MetaPathFinder, Loader):
    """Finds what is seldom used, without running it."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in SELDOM_USED else None
        if spec:
            spec.loader, spec.loader_state = self, spec.loader
        return spec

    def exec_module(self, module: ModuleType) -> None:
        del module.__path__
        module.__class__ = _Postponed


def preload() -> None:
    """Import what notebooks and gates need, without collecting garbage on the way: nearly all of it stays.

    What is there afterwards is exempt from collection, which would copy the memory that forks share.
    """
    gc.disable()
    postpone = _Postpone()
    sys.meta_path.insert(0, postpone)
    # Where Spark is installed, GX looks for its client of remote sessions, which ends a process like this one: it takes it for a test.
    sys.modules["pyspark.sql.connect"] = None
    import great_expectations  # noqa: F401
    import ipykernel.kernelapp  # noqa: F401
    import pandas.io.formats.html  # noqa: F401 - what the first table shown, and the first chart, would import
    from matplotlib.backends import backend_svg  # noqa: F401


    sys.meta_path.remove(postpone)
    gc.freeze()
    gc.enable()


preload()
