"""Everything that is logged is JSON, one object per line on stdout, for the log shipper."""

import json
import logging
import os
import sys
from datetime import datetime, timezone

bind = os.environ.get("BIND", "0.0.0.0:8000")
workers = 1
threads = 2
accesslog = "-"
access_log_format = "%(m)s %(U)s %(s)s"


class JsonFormatter(logging.Formatter):
    """Fields of the record; for the access log those of the request."""

    def format(self, record):
        entry = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if record.name == "gunicorn.access":
            atoms = record.args
            entry["request"] = {
                "remote": atoms["h"],
                "method": atoms["m"],
                "path": atoms["U"],
                "query": atoms["q"],
                "status": int(atoms["s"]),
                "size": atoms["B"],
                "referrer": atoms["f"],
                "agent": atoms["a"],
                "seconds": float(atoms["L"]),
                "id": atoms["{x-request-id}i"],
            }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


class NoHealthChecks(logging.Filter):
    def filter(self, record):
        return record.args.get("U") != "/health"


logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonFormatter}},
    "filters": {"no_health_checks": {"()": "__config__.NoHealthChecks"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "json", "stream": sys.stdout},
        "access": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "stream": "ext://sys.stdout",
            "filters": ["no_health_checks"],
        },
    },
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["console"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": ["access"], "propagate": False},
    },
}
