"""A real Django project on four sync workers: by itself, and behind nginx.

The project is what `django-admin startproject` makes, with its admin and sqlite, plus the views of
apps/django_views.py.
"""

import hashlib
import json
import subprocess
import sys
from email.message import Message

import pytest
from deployment import Browser, hey, nginx
from harness import differs, missing, server_environment

CONTENT = bytes(range(256)) * 16384  # 4 MB


def manage(directory, *args, **env):
    subprocess.run(
        [sys.executable, "manage.py", *args],
        cwd=directory,
        check=True,
        capture_output=True,
        env={**server_environment({}, None), **env},
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The directory of a migrated project with the superuser admin/secret."""
    if subprocess.run([sys.executable, "-c", "import django"], check=False).returncode:
        missing("Django is not installed")
    directory = tmp_path_factory.mktemp("project")
    subprocess.run(
        [sys.executable, "-m", "django", "startproject", "proj", "."], cwd=directory, check=True
    )
    with (directory / "proj/urls.py").open("a") as urls:
        urls.write("\nimport django_views\nurlpatterns += django_views.urlpatterns\n")
    with (directory / "proj/settings.py").open("a") as settings:
        settings.write("\nDEBUG = False\nALLOWED_HOSTS = ['127.0.0.1']\n")
        settings.write("SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')\n")
    manage(directory, "migrate", "--verbosity", "0")
    manage(
        directory,
        "createsuperuser",
        "--no-input",
        "--username",
        "admin",
        "--email",
        "a@b.example",
        DJANGO_SUPERUSER_PASSWORD="secret",
    )
    (directory / "download.bin").write_bytes(CONTENT)
    return directory


@pytest.fixture(scope="module")
def django_server(start_module_server, project):
    return start_module_server(
        "proj.wsgi",
        "--chdir",
        str(project),
        workers=4,
        bind=["127.0.0.1:0", f"unix:{project}/http.sock"],
        env={"TEST_FILE": str(project / "download.bin")},
    )


@pytest.fixture(scope="module", params=["direct", "behind nginx"])
def site(request, django_server, tmp_path_factory):
    """Base URL of the project and the scheme that its users see, both ways."""
    if request.param == "direct":
        yield django_server.url, "http"
    else:
        directory = tmp_path_factory.mktemp("nginx") / "n"
        with nginx(directory, f"unix:{django_server.addresses[1]}") as url:
            yield url, "https"


@pytest.fixture
def browser(site):
    return Browser(*site)


def test_admin_login(browser):
    assert b"Log in" in browser.get("/admin/")
    page = browser.post_form(
        "/admin/login/",
        {
            "username": "admin",
            "password": "secret",
            "next": "/admin/",
            "csrfmiddlewaretoken": browser.csrf_token(),
        },
    )
    assert b"Site administration" in page
    assert b"Log out" in browser.get("/admin/auth/user/")


def test_a_form_with_a_file(browser):
    token = browser.get("/upload").decode()
    result = json.loads(
        browser.post_files(
            "/upload",
            {"title": "a title \u00e9", "csrfmiddlewaretoken": token},
            {"file": ("name.bin", CONTENT)},
        )
    )
    assert result == {
        "title": "a title \u00e9",
        "name": "name.bin",
        "size": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }


@differs("early-answer")
def test_a_refused_upload_still_gets_its_answer(browser):
    # Django looks at the token before the file: most of the body is never read.
    with pytest.raises(OSError, match="403"):
        browser.post_files("/upload", {"title": "no token"}, {"file": ("name.bin", CONTENT)})


def test_a_streaming_response(browser):
    body = browser.get("/stream")
    assert body == b"".join(b"line %d\n" % number * 100 for number in range(1000))


def test_a_file_response(browser):
    with browser.opener.open(browser.base_url + "/file", timeout=30) as response:
        head = Message()
        head["Content-Disposition"] = response.headers["Content-Disposition"]
        assert head.get_filename() == "download.bin"
        assert int(response.headers["Content-Length"]) == len(CONTENT)
        assert response.read() == CONTENT


def test_what_the_proxy_said_is_believed(browser, site):
    info = json.loads(browser.get("/info"))
    behind_nginx = site[1] == "https"
    assert info["secure"] is behind_nginx
    assert info["url"] == browser.origin + "/info"
    assert info["forwarded"] == ("127.0.0.1" if behind_nginx else None)


def test_not_found_is_djangos_page(browser):
    with pytest.raises(OSError, match="404"):
        browser.get("/no-such-page")


def test_10000_requests_by_100_clients(site, django_server):
    mark = django_server.log_mark()
    assert hey(site[0] + "/hello", 10_000, 100) == {200: 10_000}
    assert django_server.log_text(mark) == ""  # no worker died, nothing was refused
    assert len(django_server.worker_pids()) == 4
