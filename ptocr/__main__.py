"""`python -m ptocr` is `ptocr`."""

import sys

from ptocr.cli import main

sys.exit(main())
