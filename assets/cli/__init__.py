"""The `perps` commands, in modules by topic. Each command's `--help` explains it.

`base` has the application and what all commands share, `options` their options; `run`, `backfill`, `collect`, `read`, `manage`,
`new_source`, `serve` and `spark` have the commands, `doctor` examines the sources, `printing` has what they print. Heavy
libraries are imported by the commands that need them, so that `perps query` answers at once.
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of what the next line imports

from assets.runtime.interrupts import take_interrupts

taken = take_interrupts()
try:
    from assets.cli import backfill, collect, doctor, manage, new_source, read, run, serve, spark
    from assets.cli.base import app
finally:
    if taken:
        signal.signal(signal.SIGINT, signal.default_int_handler)

__all__ = ["app", "backfill", "collect", "doctor", "manage", "new_source", "read", "run", "serve", "spark"]
