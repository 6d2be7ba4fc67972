"""A local server that speaks the venues' wire formats from one market store. Run: `python -m infra.emulator --help`."""
