"""Small packages for gunicorn from PyPI, unchanged: loggers, hooks, health checks, settings.

Each is used as its README says.
"""

import json
import re
from signal import SIGHUP

from harness import differs, free_port
from http_client import request
from test_third_loggers import APP

ADDRESS = r"127\.0\.0\.1"


def test_gunicorn_color(start_server):
    args = ("--logger-class", "gunicorn_color.Logger", "--access-logfile", "-")
    server = start_server("shop:app", *args, files={"shop.py": APP})
    assert server.request("/pot?x=%22", headers=[("User-Agent", "me")]).body == b"ok"
    server.wait_log(rf'^{ADDRESS} - - \[.*\] "GET /pot\?x=%22 HTTP/1\.1" 200 2 "-" "me"$')
    assert server.request("/fail").status == 500
    server.wait_log(rf'^{ADDRESS} - - \[.*\] "GET /fail HTTP/1\.1" 500 0 "-" "-"$')
    assert server.log_text().count("Traceback") == 1


def test_gunicorn_healthz_filter(start_server):
    args = ("--logger-class", "gunicorn_healthz_filter.Logger", "--access-logfile", "-")
    server = start_server("shop:app", *args, files={"shop.py": APP})
    for path in ("/healthz", "/pot", "/healthz", "/last"):
        assert server.request(path).body == b"ok"
    server.wait_log("GET /last")
    assert "GET /pot" in server.log_text()
    assert "healthz" not in server.log_text()


def test_gunicorn_json_logger(start_server):
    config = (
        "from gunicorn_logger.config import get_log_config\n"
        "from gunicorn_logger.filters import HealthCheckFilter, add_access_log_filter\n"
        "logconfig_dict = get_log_config(filter_gunicorn_access=False)\n"
        "add_access_log_filter(HealthCheckFilter('/health'))\n"
    )
    server = start_server("shop:app", wait=False, config=config, files={"shop.py": APP})
    (host, port), *_ = server.wait_log(r"Listening at: http://([\d.]+):(\d+)")
    server.addresses = [(host, int(port))]
    for path in ("/health", "/pot"):
        assert server.request(path).body == b"ok"
    assert server.request("/fail").status == 500
    server.wait_log("GET /fail HTTP")
    lines = [line for line in server.log_text().splitlines() if line.startswith("{")]
    entries = [json.loads(line) for line in lines]
    access = [entry["message"] for entry in entries if entry["name"] == "gunicorn.access"]
    assert [re.search(r'"(.*?)" (\d+)', line).groups() for line in access] == [
        ("GET /pot HTTP/1.1", "200"),
        ("GET /fail HTTP/1.1", "500"),
    ]
    (failed,) = [entry for entry in entries if "exc_info" in entry]
    assert failed["message"] == "Error handling request GET /fail"
    assert "RuntimeError: on purpose" in failed["exc_info"]


@differs("reload-broken")
def test_gunicorn_worker_healthcheck(start_server):
    """Its config file starts a thread in the master; its hooks are methods."""
    check = ("127.0.0.1", free_port())
    config = (
        f"healthcheck_bind = '127.0.0.1:{check[1]}'\nhealthcheck_require_workers = 2\n"
        "import gunicorn_worker_healthcheck\ngunicorn_worker_healthcheck.start(globals())\n"
    )
    server = start_server("plain:app", workers=2, config=config)
    assert request(check).body == b"2 workers ready\n"
    assert request(check).status == 200
    assert "Warning" not in server.log_text()
    server.signal(SIGHUP)  # it cannot have its port a second time
    server.wait_log("Reload failed, the old workers stay")
    assert request(check).body == b"2 workers ready\n"
    assert server.stop() == 0
    assert "healthcheck" not in " ".join(p.name for p in server.directory.glob(".gunicorn*"))


DJANGO = {
    "site_settings.py": (
        "SECRET_KEY = 'x'\nROOT_URLCONF = 'site_urls'\nALLOWED_HOSTS = ['*']\n"
        "MIDDLEWARE = []\nDATABASES = {}\n"
    ),
    "site_urls.py": (
        "from django.http import HttpResponse\nfrom django.urls import path\n"
        "def home(request):\n    return HttpResponse('home')\n"
        "def fail(request):\n    raise RuntimeError('on purpose')\n"
        "urlpatterns = [path('', home), path('fail', fail)]\n"
    ),
    "site_wsgi.py": (
        "from django.core.wsgi import get_wsgi_application\napp = get_wsgi_application()\n"
    ),
}


def test_gunicorn_django_canonical_logs(start_server):
    config = (
        "from gunicorn_django_canonical_logs.glogging import Logger\n"
        "from gunicorn_django_canonical_logs.gunicorn_hooks import *\n"
        "accesslog = '-'\nlogger_class = Logger\n"
    )
    env = {"DJANGO_SETTINGS_MODULE": "site_settings"}
    server = start_server("site_wsgi:app", config=config, files=DJANGO, env=env, workers=2)
    server.wait_log("Starting saturation monitor")
    assert server.request("/").body == b"home"
    server.wait_log(r'event_type="?request"?.*req_method="?GET"?.*resp_status="?200"?')
    assert server.request("/fail").status == 500
    server.wait_log(r"exc_type=.*RuntimeError")
    with server.connect() as client:  # no request, so it knows nothing of it
        client.send(b"BAD\r\n\r\n")
        assert client.read_response().status == 400
    assert server.request("/").body == b"home"
    assert server.stop() == 0
    text = server.log_text()
    assert "Stopping saturation monitor" in text
    assert "Exception while logging access" not in text
    assert "Traceback" not in re.sub(r"(?s)Internal Server Error: /fail.*?on purpose", "", text)
