"""Rules over a person's series: pure functions, no clock, no I/O, no randomness. Start in
README.md.
"""
