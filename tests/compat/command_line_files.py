"""The files in the directory of every command line of test_command_lines: applications and config
files, good and bad. No test lives here."""

APPLICATIONS = {
    "shop.py": """\
import os
def application(environ, start_response):
    start_response("200 OK", [])
    return [os.environ.get("COLOR", "none").encode()]
def app(environ, start_response): ...
def factory(color, size=1): return app
def failing(): raise TypeError("from inside")
def leaving(): raise SystemExit(7)
nothing = None
number = 3
""",
    "raising.py": "1 / 0\n",
    "halting.py": "raise RuntimeError('no database')\n",
    "syntax.py": "def (\n",
    "importing.py": "import no_such_dependency\n",
    "exiting.py": "import sys\nsys.exit(7)\n",
    "lib/shelf.py": "from shop import application\n",
    "needs_color.py": "import os\napplication = os.environ['COLOR'].join\n",
    "classes.py": "nothing = 3\n",
}

CONFIGS = {
    "good.conf.py": "workers = 2\nbind = ['127.0.0.1:0']\n",
    "settings.py": "workers = 3\n",
    "config.txt": "workers = 2\n",
    "raising.conf.py": "\n1 / 0\n",
    "syntax.conf.py": "workers = (\n",
    "importing.conf.py": "import no_such_dependency\n",
    "exiting.conf.py": "import sys\nsys.exit(9)\n",
    "app.conf.py": "wsgi_app = 'shop:app'\n",
    "chdir.conf.py": "chdir = 'lib'\n",
    "text.conf.py": "workers = 'x'\n",
    "none.conf.py": "workers = None\n",
    "float.conf.py": "timeout = 1.5\n",
    "bool.conf.py": "preload_app = 'yes'\n",
    "dict.conf.py": "secure_scheme_headers = 'x'\n",
    "list.conf.py": "bind = [1]\n",
    "arity.conf.py": "def on_exit(): ...\n",
    "path.conf.py": "on_exit = 'no.such'\n",
    "typo.conf.py": "wrokers = 3\n",
    "on_starting.conf.py": "def on_starting(server): 1 / 0\n",
    "when_ready.conf.py": "def when_ready(server): raise ValueError('from the hook')\n",
    "nworkers.conf.py": "def nworkers_changed(server, new, old): 1 / 0\n",
    "pre_fork.conf.py": "def pre_fork(server, worker): 1 / 0\n",
    "post_fork.conf.py": "def post_fork(server, worker): 1 / 0\n",
    "init.conf.py": "def post_worker_init(worker): 1 / 0\n",
    "dictconfig.conf.py": "logconfig_dict = {'version': 1, 'handlers': {'x': {'class': 'no.x'}}}\n",
}

OTHERS = {
    "empty.ini": "[loggers]\nkeys=root\n",
    "bad.json": "{",
    "alive.pid": "1\n",
    "garbage.pid": "hello\n",
    "plain_file": "",
}

FILES = APPLICATIONS | CONFIGS | OTHERS
