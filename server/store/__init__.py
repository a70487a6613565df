"""The server's memory: SQL and psycopg live here and nowhere else."""
