"""Why a value does not convert, before anybody knows where it stands."""


class Unfit(ValueError):
    """A value does not convert exactly. The reason never quotes the value.

    `inside` is the way from the value that was given to the one at fault, `.name` and `[0]` steps.
    """

    def __init__(self, reason: str, *, inside: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.inside = inside
