"""Shows the doctests of docstrings as code on the documentation site. Griffe calls it while it reads the packages.

Griffe knows a section "Examples". In the packages, the section is called "Example", or the doctest has no heading.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

BARE = re.compile(r"^>>> .*?(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)
"""A doctest that is not indented, so it is in no section."""


class DoctestsAreExamples(griffe.Extension):
    """Puts every doctest into a section "Examples"."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites the docstring of a module, class, function or attribute."""
        if obj.docstring is None:
            return
        text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
        obj.docstring.value = BARE.sub(lambda doctest: "Examples:\n" + textwrap.indent(doctest[0], "    "), text)
