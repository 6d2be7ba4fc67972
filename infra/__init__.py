"""What the pipelines run against: the venue emulator and other local infrastructure."""
