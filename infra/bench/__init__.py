"""Benchmarks of speed as ratios: to peers, to the rate limits of venues, to a run on a shorter history."""
