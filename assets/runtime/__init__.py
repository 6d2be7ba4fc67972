"""What a run needs around its assets: the job in this process, the emulator, Ctrl-C, killed runs."""
