"""What every command line does with errors: messages without stack traces, and exit codes."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable

from ptocr.errors import InputError, PtocrError

DONE, SOME_FAILED, USAGE = 0, 1, 2
INTERRUPTED = 130


class Failures:
    """Names each unreadable input on standard error and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, error: InputError) -> None:
        from tqdm import tqdm

        self.count += 1
        tqdm.write(f"error: {error}", file=sys.stderr)


def guarded(main: Callable[[argparse.Namespace, Failures], None], args: argparse.Namespace) -> int:
    """Call `main`; its errors become messages and exit codes (0 done, 1 some inputs failed, 2 usage or set-up)."""
    level = logging.INFO if getattr(args, "show_log", False) else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s: %(message)s")
    failures = Failures()
    try:
        main(args, failures)
    except InputError as error:
        failures(error)
    except PtocrError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:  # the reader of standard output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        print("interrupted; everything finished so far is written", file=sys.stderr)
        return INTERRUPTED
    return SOME_FAILED if failures.count else DONE
