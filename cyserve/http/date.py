"""Dates as HTTP writes them (RFC 9110 section 5.6.7), whatever the locale.

email.utils would do, but it loads 15 modules, which every start would have to pay for.
"""

import time

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(timestamp: float | None = None) -> str:
    """Return a time (of the epoch; None is now) as `Thu, 01 Jan 1970 00:00:00 GMT`."""
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(timestamp)
    return (
        f"{_DAYS[weekday]}, {day:02d} {_MONTHS[month - 1]} {year:04d}"
        f" {hour:02d}:{minute:02d}:{second:02d} GMT"
    )
