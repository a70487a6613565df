"""Findings become alerts: judge.py for values, absence.py for silence, run.py for the process."""
