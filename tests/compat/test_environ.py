"""What applications see of settings that the conversations of responses.py do not vary."""

import pytest
from cases import request
from differences import compare
from exchange import Case, converse
from http_client import request as ask
from responses import in_their_words
from tls_helpers import client_context, make_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize(
    ("workers", "args"),
    [
        (2, "-k sync"),
        (1, "-k sync --threads 3"),
        (1, "-k gthread --threads 1"),
        (2, "-k gthread"),
        (2, "-k gevent"),
    ],
)
def test_processes_and_threads(start_both, kernel, workers, args):
    bind = ["127.0.0.1:0", "unix:s"]
    pair = start_both("compat_app:app", *args.split(), kernel=kernel, workers=workers, bind=bind)
    for listener in (0, 1):
        case = Case("environ", (request("/dump"),), listener=listener)
        gunicorn = converse(pair.gunicorn, case, logged=False)
        assert b'"wsgi.multiprocess": "%a"' % (workers > 1) in gunicorn.answer
        compare(gunicorn, in_their_words(converse(pair.cyserve, case, logged=False)))


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_tls(start_both, kernel, worker, files):
    pair = start_both("compat_app:app", "-k", worker, *files.args(), kernel=kernel)
    for fields in [[], [("X-Forwarded-Proto", "http")], [("X-Forwarded-Proto", "https")]]:
        dumps = []
        for server in (pair.gunicorn, pair.cyserve):
            dump = ask(server.address, "/dump", headers=fields, tls=client_context()).json()
            for own in ("SERVER_SOFTWARE", "SERVER_PORT", "REMOTE_PORT"):
                assert dump.pop(own)
            dumps.append(dump)
        compare(*dumps)
