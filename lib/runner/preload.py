"""Import what notebooks need. The warm process imports this module, and kernels are forks of it.

It acts on import, like lib.runner.die_with_parent, because a forkserver accepts only modules to import.
"""

import gc
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# A third of Great Expectations' import, for one distribution test and its chart. They have to be packages.
SELDOM_USED = ("scipy.stats", "altair")


class _Postponed(ModuleType):
    """A module that is loaded when an attribute is first used, but not when it is merely inspected."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # __path__ is needed to import a submodule
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = ModuleType
        spec = self.__spec__
        spec.loader = self.__loader__ = spec.loader_state
        self.__path__ = spec.submodule_search_locations
        spec.loader.exec_module(self)
        return getattr(self, name)


class _Postpone(MetaPathFinder, Loader):
    """Finds the modules that are seldom used and makes them postponed ones, instead of running them."""

    def find_spec(self, name: str, path: Sequence[str] | None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in SELDOM_USED else None
        if spec:
            spec.loader, spec.loader_state = self, spec.loader
        return spec

    def exec_module(self, module: ModuleType) -> None:
        del module.__path__  # so that importing a submodule asks __getattr__ for it, which loads the module
        module.__class__ = _Postponed


def preload() -> None:
    """Import what notebooks and gates need.

    Garbage collection is off meanwhile, since nearly all objects of an import stay. Afterwards they are
    exempt from it: a collection writes to every object it looks at, and each kernel would then copy the
    memory that forks share.
    """
    gc.disable()
    postpone = _Postpone()
    sys.meta_path.insert(0, postpone)
    # Where pyspark is installed, GX imports its client for remote sessions. That imports pyspark's tests,
    # which end this process. A None makes the import fail as if the client were not installed.
    sys.modules["pyspark.sql.connect"] = None
    sys.modules["debugpy"] = None  # nobody debugs a run's kernels, and each would import it
    import great_expectations  # noqa: F401
    import ipykernel.kernelapp  # noqa: F401
    import pandas.io.formats.html  # noqa: F401 - for the first table that a notebook shows
    from matplotlib.backends import backend_svg  # noqa: F401 - and for its first chart

    import lib.report.charts
    import lib.step.open
    import lib.step.parse  # noqa: F401

    sys.meta_path.remove(postpone)
    gc.freeze()
    gc.enable()


preload()
