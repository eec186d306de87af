"""`python -m loadax` is the command `loadax`."""

import sys

from .cli import main

sys.exit(main())
