"""What can go wrong around the servers that the command starts, and what may be done about it."""


class HemmaError(Exception):
    """Base of the errors that the command prints as one message, without a traceback."""


class MissingPartError(HemmaError):
    """A program, package or server is not on this machine; `remedy` is the exact thing to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}\n  → {remedy}")
        self.what = what
        self.remedy = remedy


class TakenError(HemmaError):
    """A port or a folder is in use by another process."""


class ServerFailedError(HemmaError):
    """A server that we started did not come up, or died; the end of its log is in the message."""

    def __init__(self, what: str, log_tail: str) -> None:
        tail = log_tail.strip() or "(its log is empty)"
        super().__init__(f"{what}. Its log ends:\n{tail}")
        self.log_tail = log_tail
