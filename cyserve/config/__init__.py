"""Settings: what exists, what values are allowed, and Config, which holds them.

One declaration per setting, in one module per section; the order of the imports here is the order
of --help and of the documentation. How config file, environment and command line are combined is
in `cyserve.app.base`.
"""

# ruff: noqa: F403, I001
from cyserve.errors import ConfigError as ConfigError
from cyserve.config.core import *
from cyserve.config.config_file import *
from cyserve.config.server_socket import *
from cyserve.config.worker_processes import *
from cyserve.config.security import *
from cyserve.config.debugging import *
from cyserve.config.server_mechanics import *
from cyserve.config.http_mechanics import *
from cyserve.config.logs import *
from cyserve.config.naming import *
from cyserve.config.hooks import *
from cyserve.config.ssl import *
from cyserve.config.http2 import *
from cyserve.config.dirty import *
from cyserve.config.control import *
from cyserve.config.validators import *
