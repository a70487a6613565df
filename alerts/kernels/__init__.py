"""Statistics over batches of series, in numpy alone: trend, baseline, drift.

One row is one person's series of one component; a single arriving sample is a batch of one row. A
row's result never depends on the other rows, on the width of the array, or on where its gaps are,
bit for bit on one machine.
"""
