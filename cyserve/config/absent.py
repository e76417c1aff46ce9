"""Names that are no settings here: those of gunicorn that this version lacks, and misspelt ones.

A setting that would silently do nothing is worse than one that stops the start. When a missing
setting is added, its name leaves the list here.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from cyserve.errors import ConfigError

__all__ = ("ABSENT_SETTINGS", "is_absent_flag", "misspelt", "unknown_setting")

#: Settings of gunicorn 27 that this version of cyserve does not have.
ABSENT_SETTINGS = frozenset(
    """
    reload reload_engine reload_extra_files spew paste raw_paste_global_conf
    statsd_host dogstatsd_tags statsd_prefix enable_backlog_metric
    protocol uwsgi_allow_ips
    http_protocols http2_cleartext http2_max_concurrent_streams http2_initial_window_size
    http2_max_frame_size http2_max_header_list_size
    asgi_loop asgi_lifespan asgi_disconnect_grace_period websocket_max_message_size root_path
    dirty_apps dirty_workers dirty_timeout dirty_threads dirty_graceful_timeout
    on_dirty_starting dirty_post_fork dirty_worker_init dirty_worker_exit
    control_socket control_socket_mode control_socket_disable
    """.split()
)

#: How alike two names must be, from 0 to 1, for the one to be a misspelling of the other.
_LIKENESS = 0.85


def unknown_setting(name: str) -> Exception:
    """The error for a name that is no setting of this version."""
    if name in ABSENT_SETTINGS:
        return ConfigError(f"{name}: this version of cyserve does not have it")
    return AttributeError(f"No configuration setting for: {name}")


def is_absent_flag(word: str) -> bool:
    """Whether `word` is gunicorn's flag for a setting that this version does not have."""
    name = word.removeprefix("--").replace("-", "_")
    return word.startswith("--") and not ABSENT_SETTINGS.isdisjoint({name, f"{name}s"})


def misspelt(names: Mapping[str, Any], known: Iterable[str]) -> dict[str, str]:
    """Which names of a config file look like settings written wrongly.

    names: the names and values of the file, without those that are settings.
    known: the names of the settings.

    Returns each suspicious name with the setting that was probably meant. Only plain values under
    lower-case names are suspected: helper functions, modules and constants are not.
    """
    suspects = [
        name
        for name, value in names.items()
        if name.islower()
        and not name.startswith("_")
        and name not in ABSENT_SETTINGS
        and isinstance(value, int | str | list)
    ]
    if not suspects:
        return {}
    from difflib import get_close_matches  # noqa: PLC0415 - rarely needed

    candidates = [*known, *ABSENT_SETTINGS]
    found: dict[str, str] = {}
    for name in suspects:
        nearest = get_close_matches(name, candidates, n=1, cutoff=_LIKENESS)
        if name == "preload":  # its flag is --preload, far from the setting's name
            nearest = ["preload_app"]
        if nearest:
            found[name] = nearest[0]
    return found
