"""The configuration of logging: each message is one line on stderr (relay.logs), and each library has a level."""

from typing import Any


def logging_config(*, level: str, style: str, process: str, instance: str) -> dict[str, Any]:
    """The configuration for `logging.config.dictConfig`. `style`: text or json; `process`: its name in each line."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": "relay.logs.Formatter",
                "style": style,
                "process": process,
                "instance": instance,
            }
        },
        "handlers": {"stderr": {"()": "relay.logs.Handler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "psycopg.pool": {"level": "ERROR"},
            # One traceback a second while the bus is down; relay.bus says it once.
            "channels_redis": {"level": "CRITICAL"},
            "celery": {"level": "WARNING"},
            "kombu": {"level": "WARNING"},
            "uvicorn": {"level": "WARNING"},
            "axes": {"level": "WARNING"},
        },
    }
