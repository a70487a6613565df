"""The pages a nurse works in: words, colours and shapes live here and nowhere else."""

from server.web.run import run

__all__ = ["run"]
