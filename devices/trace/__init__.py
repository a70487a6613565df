"""What went over the air, read from a recording of the host's side of it. Start in README.md."""
