"""Which servers a case is measured on when nobody names them: each where its figure says something.

The first server of a case is cyserve's that the other figures of the case are divided by. The
others stand near to it in the order in which they are compared with it, since neighbours are
measured within seconds of each other. Rows for servers that do not speak what a case needs are
left out by `Server.can_run`.
"""

#: The servers written in C that "C" means on the page.
C = ("freastal", "fastpysgi", "fastwsgi", "bjoern")
OTHERS = ("granian", "uwsgi")
SLOW = ("waitress", "cheroot")
OURS, THEIRS = "cyserve-gthread", "gunicorn-gthread"
USUAL = (OURS, *C, *OTHERS, THEIRS)
#: Kinds of workers that both cyserve and gunicorn have, beside those above.
KINDS = ("gevent", "tornado")

LINEUP: dict[str, tuple[str, ...]] = {
    "hello": (
        OURS,
        "limit",
        *C,
        "cyserve-gthread-4",
        *OTHERS,
        "cyserve-gthread-pure",
        "gunicorn-gthread-py",
        THEIRS,
        "gunicorn-gthread-4",
        *(f"{server}-{kind}" for kind in KINDS for server in ("cyserve", "gunicorn")),
        "gunicorn-gevent-py",
        *SLOW,
    ),
    "browser": (OURS, "limit", *C, *OTHERS, "cyserve-gthread-pure", "gunicorn-gthread-py", THEIRS),
    "hello-close": (
        "cyserve-sync",
        "limit",
        *C,
        *OTHERS,
        OURS,
        "gunicorn-sync",
        "gunicorn-sync-py",
        THEIRS,
    ),
    "post-10k": USUAL,
    "post-1m": USUAL,
    "chunked-1m": USUAL,
    "out-100k": USUAL,
    "out-256k": USUAL,
    "file-1m": USUAL,
    "flask": (
        OURS,
        *C,
        *OTHERS,
        THEIRS,
        "gunicorn-gthread-py",
        *(f"{server}-{kind}" for kind in ("sync", *KINDS) for server in ("cyserve", "gunicorn")),
        *SLOW,
    ),
    "django": (*USUAL, "gunicorn-gthread-py", *SLOW),
    "django-page": USUAL,
    "hello-log": (OURS, f"{OURS}-nolog", *OTHERS, THEIRS, "gunicorn-gthread-py"),
    "hello-tls": (OURS, "freastal", "granian", THEIRS),
    "two-workers": (OURS, "freastal", "fastpysgi", "fastwsgi", *OTHERS, THEIRS),
    "pipeline": (OURS, *C, *OTHERS, THEIRS),
}

#: A smoke test of the instrument: little of everything, and nothing to be believed.
QUICK: dict[str, tuple[str, ...]] = {
    "hello": (OURS, "limit", "fastpysgi", "cyserve-gthread-pure", "gunicorn-gthread-py"),
    "hello-close": ("cyserve-sync", "freastal", "gunicorn-sync"),
    "hello-log": (OURS, f"{OURS}-nolog", THEIRS),
    "chunked-1m": (OURS, "fastpysgi"),
    "flask": (OURS, "fastpysgi", THEIRS),
}


def names(lineup: dict[str, tuple[str, ...]]) -> list[str]:
    """Every server of a lineup once."""
    return list(dict.fromkeys(name for servers in lineup.values() for name in servers))
