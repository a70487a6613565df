"""What is done to the store regularly, on every tier, by one process at a time."""
