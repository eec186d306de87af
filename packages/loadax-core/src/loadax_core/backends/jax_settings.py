"""JAX's settings of this process, for worker processes: with others, a transform would give other values there.

Nothing here imports JAX. A program that has not imported JAX sends no settings, and a worker process that does not
need JAX applies none.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

OF_DEVICES = frozenset({
    "jax_backend_target",
    "jax_cpu_collectives_implementation",
    "jax_cuda_visible_devices",
    "jax_default_device",
    "jax_mock_gpu_topology",
    "jax_num_cpu_devices",
    "jax_oneapi_visible_devices",
    "jax_pjrt_client_create_options",
    "jax_platform_name",
    "jax_platforms",
    "jax_rocm_visible_devices",
    "jax_xla_backend",
    "mock_num_gpu_processes",
})  # fmt: skip
"""Settings that are not sent: they choose devices, and a worker process has CPU devices only."""


def jax_settings(setting: str) -> bytes | None:
    """The values of `jax.config` in this thread, pickled; None if JAX has not been imported.

    Args:
        setting: The call that asked for processes, for errors.

    Raises:
        TypeError: If a value cannot be pickled; names it.
    """
    config: Any = getattr(sys.modules.get("jax"), "config", None)
    if config is None:
        return None
    values = {name: value for name, value in config.values.items() if name not in OF_DEVICES}
    try:
        return pickle.dumps(values)
    except Exception:
        for name, value in values.items():
            try:
                pickle.dumps(value)
            except Exception as error:
                raise TypeError(
                    f"{setting} gives each worker process the settings of jax.config, but {name} is {value!r:.80}, "
                    f"which cannot be pickled: {error}; set {name} to a plain value, or use threads: .workers(n)"
                ) from error
        raise


class JaxSettings:
    """JAX's settings in a worker process: those of its parent, as soon as JAX is imported.

    Args:
        sent: What `jax_settings` returned in the parent.
    """

    def __init__(self, sent: bytes | None) -> None:
        self._sent = sent
        self._values: Any = None
        if sent is not None:
            sys.meta_path.insert(0, _AfterImport("jax", self.apply))

    def apply(self) -> None:
        """Applies the settings, if JAX has been imported. Is called again after the user's imports, which may set some.

        Raises:
            ValueError: If JAX refuses a value here; names it.
        """
        config: Any = getattr(sys.modules.get("jax"), "config", None)
        if config is None or self._sent is None:
            return
        values = self._values
        if values is None:
            # Some are instances of JAX's classes, so that unpickling them imports JAX.
            values = self._values = pickle.loads(self._sent)
        present = config.values
        for name, value in values.items():
            if name in present and present[name] != value:
                try:
                    config.update(name, value)
                except Exception as error:
                    raise ValueError(
                        f"jax.config has {name} = {value!r:.80} in the program, which JAX refuses in a worker process: "
                        f"{error}; reset it before the loader starts, or use threads: .workers(n)"
                    ) from error

    def keep_changes(self) -> None:
        """Makes the present values those that `apply` applies, after an initializer, which may have set some."""
        if self._values is not None:
            present = sys.modules["jax"].config.values
            self._values = {name: present[name] for name in self._values if name in present}


class _AfterImport:
    """A finder that has a function called when a module has been imported.

    It stays until then: a program may look whether the module is installed (`importlib.util.find_spec`) long before.
    """

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self._name:
            return None
        others = [finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec")]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute: Callable[[ModuleType], None] = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                with suppress(ValueError):
                    sys.meta_path.remove(self)
                self._then()

            loader.exec_module = exec_module
        return spec
