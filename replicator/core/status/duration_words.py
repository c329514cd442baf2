"""Durations in words. Pure."""


def in_words(seconds: float | None) -> str:
    """The largest units of a duration: `45 s`, `3 min`, `2 h 5 min`, `3 d 4 h`; `-`: unknown."""
    if seconds is None:
        return "-"
    if 0 < seconds < 1:
        return "<1 s"
    whole = int(max(0.0, seconds))
    if whole < 120:
        return f"{whole} s"
    minutes, hours = whole // 60, whole // 3600
    if minutes < 60:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"
