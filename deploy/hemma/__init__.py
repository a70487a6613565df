"""The command `hemma`: demo, doctor, and the way to every part's own commands."""
