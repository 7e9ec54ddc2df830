"""Every setting, read top to bottom. Values come from the environment; docs/settings.md explains each.

Local mode: without DATABASE_URL or REDIS_URL, `manage.py serve` starts an embedded server and writes its address into
the data folder, where the other commands of this checkout read it.
"""

import os
import secrets
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from relayproject import admin_theme, env, env_nostr, env_regions, env_urls, local_mode
from relayproject.broker import broker_of
from relayproject.databases import databases_of
from relayproject.log_config import logging_config
from relayproject.scheduled_jobs import scheduled_jobs

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"
DEFAULT_SERVER = "redis://127.0.0.1:6379"

# -- Data folder and servers --------------------------------------------------------------------------
RELAY_DATA_DIR = env.folder("RELAY_DATA_DIR", BASE_DIR / "var")
_services = local_mode.running_services(RELAY_DATA_DIR)
DATABASE_URL = env_urls.database_address("DATABASE_URL", "") or _services.get("DATABASE_URL", "")
REDIS_URL = env_urls.redis_address("REDIS_URL", "") or _services.get("REDIS_URL", "")
CACHE_URL = env_urls.redis_address("CACHE_URL", REDIS_URL)
BUS_URL = env_urls.redis_addresses("BUS_URL", REDIS_URL)
BROKER_URL = env_urls.redis_address("BROKER_URL", REDIS_URL)  # no Cluster: validation.py says why
REPLICA_URLS = env_urls.replicas("REPLICA_URLS")
RELAY_ZONE = env.text("RELAY_ZONE")  # replicas of this zone are asked first
LOCAL_MODE = not os.environ.get("DATABASE_URL")

SECRET_KEY = env.secret("SECRET_KEY") or (local_mode.secret_key(RELAY_DATA_DIR) if LOCAL_MODE else "")
if not SECRET_KEY:
    env.fault("SECRET_KEY", "is required when DATABASE_URL is set: 50 random characters or more")
    SECRET_KEY = secrets.token_urlsafe(50)

# -- The relay's address ------------------------------------------------------------------------------
RELAY_HOST = env.text("RELAY_HOST", "127.0.0.1")
RELAY_PORT = env.integer("RELAY_PORT", 8000, low=1, high=65535)
RELAY_WORKERS = env.integer("RELAY_WORKERS", os.cpu_count() or 1, low=1, high=256)
RELAY_OTHER_URLS = env.words("RELAY_OTHER_URLS")  # checked in validation.py
RELAY_URL_IS_SET = bool(env.text("RELAY_URL"))
RELAY_URL = (
    env_urls.web_address("RELAY_URL", "", ("ws", "wss")) or f"ws://{env_urls.host_and_port(RELAY_HOST, RELAY_PORT)}"
)
RELAY_TRANSPORT = env.choice("RELAY_TRANSPORT", "picows", ("picows", "websockets"))
RELAY_INSTANCE = env.text("RELAY_INSTANCE", f"{os.uname().nodename}-{local_mode.name_of(RELAY_DATA_DIR)}")
RELAY_WORKER = os.environ.get("RELAY_WORKER", "")  # a worker's number, given by the supervisor
RELAY_ACK_TABLE = os.environ.get("RELAY_ACK_TABLE", "")  # descriptor of the workers' shared memory, from the supervisor

# -- Relay information (NIP-11) -----------------------------------------------------------------------
RELAY_NAME = env.text("RELAY_NAME", "A Nostr relay")
RELAY_DESCRIPTION = env.text("RELAY_DESCRIPTION")
RELAY_BANNER = env_urls.web_address("RELAY_BANNER", "", ("https", "http"))
RELAY_ICON = env_urls.web_address("RELAY_ICON", "", ("https", "http"))
RELAY_PUBKEY = env_nostr.public_key("RELAY_PUBKEY")
RELAY_SELF = env_nostr.public_key("RELAY_SELF")
RELAY_CONTACT = env_urls.uri("RELAY_CONTACT")
RELAY_TERMS_OF_SERVICE = env_urls.web_address("RELAY_TERMS_OF_SERVICE", "", ("https", "http"))
RELAY_SOFTWARE = env_urls.web_address("RELAY_SOFTWARE", "https://github.com/relay-platform/relay", ("https", "http"))

# -- Limits that NIP-11 publishes ---------------------------------------------------------------------
RELAY_MAX_MESSAGE_LENGTH = env.integer("RELAY_MAX_MESSAGE_LENGTH", 1_048_576, low=1_024, high=2**26)  # bytes
RELAY_MAX_SUBSCRIPTIONS = env.integer("RELAY_MAX_SUBSCRIPTIONS", 300, low=1, high=100_000)
RELAY_MAX_LIMIT = env.integer("RELAY_MAX_LIMIT", 1_000, low=1, high=10_000)
RELAY_DEFAULT_LIMIT = env.integer("RELAY_DEFAULT_LIMIT", 500, low=1, high=10_000)
RELAY_MAX_SUBID_LENGTH = env.integer("RELAY_MAX_SUBID_LENGTH", 64, low=1, high=64)  # code points
RELAY_MAX_EVENT_TAGS = env.integer("RELAY_MAX_EVENT_TAGS", 10_000, low=0, high=100_000)
RELAY_MAX_CONTENT_LENGTH = env.integer("RELAY_MAX_CONTENT_LENGTH", 131_072, low=0)  # code points
RELAY_CREATED_AT_LOWER_LIMIT = env.integer("RELAY_CREATED_AT_LOWER_LIMIT", 0)  # seconds back; 0: no limit
RELAY_CREATED_AT_UPPER_LIMIT = env.integer("RELAY_CREATED_AT_UPPER_LIMIT", 900)  # seconds ahead
RELAY_MIN_POW_DIFFICULTY = env.integer("RELAY_MIN_POW_DIFFICULTY", 0, high=256)  # leading zero bits of an id
RELAY_MIN_POW_BY_KIND = env_nostr.bits_by_kind("RELAY_MIN_POW_BY_KIND")
RELAY_AUTH_TO_READ = env_nostr.kinds("RELAY_AUTH_TO_READ")
RELAY_AUTH_TO_WRITE = env_nostr.kinds("RELAY_AUTH_TO_WRITE")
RELAY_PRIVATE_DRAFTS = env.flag("RELAY_PRIVATE_DRAFTS", False)

# -- Limits that protect the relay and are not published ----------------------------------------------
RELAY_MAX_FILTERS = env.integer("RELAY_MAX_FILTERS", 20, low=1, high=1_000)
RELAY_MAX_FILTER_VALUES = env.integer("RELAY_MAX_FILTER_VALUES", 30_000, low=1, high=1_000_000)
RELAY_EPHEMERAL_SECONDS = env.integer("RELAY_EPHEMERAL_SECONDS", 60, low=0)  # greatest age of an event; 0: no limit
RELAY_MAX_CONNECTIONS = env.integer("RELAY_MAX_CONNECTIONS", 20_000, low=1)  # of one worker
RELAY_MAX_CONNECTIONS_PER_IP = env.integer("RELAY_MAX_CONNECTIONS_PER_IP", 100, low=1)  # of one worker
RELAY_IP_LIMIT_EXEMPT = env.words("RELAY_IP_LIMIT_EXEMPT", ("127.0.0.0/8", "::1/128"))
# Rates: tokens a second and at once, 0: no limit. By address, but RELAY_RATE_AUTHOR.
RELAY_RATE_MESSAGES = env_nostr.rate("RELAY_RATE_MESSAGES", "500:10000")
RELAY_RATE_BYTES = env_nostr.rate("RELAY_RATE_BYTES", "1048576:33554432")
RELAY_RATE_EVENTS = env_nostr.rate("RELAY_RATE_EVENTS", "100:5000")
RELAY_RATE_KINDS = env_nostr.rates_of_kinds("RELAY_RATE_KINDS")
RELAY_RATE_QUESTIONS = env_nostr.rate("RELAY_RATE_QUESTIONS", "60:2000")  # REQ, COUNT, profiles
RELAY_RATE_SIGN_INS = env_nostr.rate("RELAY_RATE_SIGN_INS", "5:300")  # AUTH
RELAY_RATE_AUTHOR = env_nostr.rate("RELAY_RATE_AUTHOR", "50:5000")
RELAY_TRUSTED_PROXIES = env.words("RELAY_TRUSTED_PROXIES")  # networks whose X-Forwarded-For is trusted
RELAY_MAX_FILTER_BYTES = env.integer("RELAY_MAX_FILTER_BYTES", 67_108_864, low=1_048_576)  # of one connection
RELAY_FILTER_BYTES = env.integer("RELAY_FILTER_BYTES", 1_073_741_824, low=67_108_864)  # of one worker
RELAY_MAX_OUTBOX_BYTES = env.integer("RELAY_MAX_OUTBOX_BYTES", 8_388_608, low=65_536)  # of one connection
RELAY_MAX_PENDING_EVENTS = env.integer("RELAY_MAX_PENDING_EVENTS", 1_000, low=1)  # of one connection
RELAY_QUERY_SECONDS = env.seconds("RELAY_QUERY_SECONDS", 5.0, low=0.05)  # total budget of one query
RELAY_WRITE_SECONDS = env.seconds("RELAY_WRITE_SECONDS", 10.0, low=0.1)  # of one transaction
RELAY_PING_SECONDS = env.seconds("RELAY_PING_SECONDS", 50.0, low=0.1, high=55.0)  # 01-S14: at most 55
RELAY_HANDSHAKE_SECONDS = env.seconds("RELAY_HANDSHAKE_SECONDS", 10.0, low=0.1)
RELAY_LEAVE_SECONDS = env.seconds("RELAY_LEAVE_SECONDS", 0.0, low=0.0, high=300.0)  # /ready fails before the drain
RELAY_DRAIN_SECONDS = env.seconds("RELAY_DRAIN_SECONDS", 5.0, low=0.0, high=300.0)  # closing all connections
RELAY_HEARTBEAT_SECONDS = env.seconds("RELAY_HEARTBEAT_SECONDS", 10.0, low=3.0)  # then a silent worker is restarted

# -- Who may publish what: docs/operations/policies.md -------------------------------------------------
RELAY_RESTRICTED_WRITES = env.flag("RELAY_RESTRICTED_WRITES", False)  # only allowed keys
RELAY_RESTRICTED_KINDS = env.flag("RELAY_RESTRICTED_KINDS", False)  # only allowed kinds

RELAY_POLICY = env.text("RELAY_POLICY")  # dotted path of a Python function
RELAY_WRITE_POLICY_PLUGIN = env.text("RELAY_WRITE_POLICY_PLUGIN")  # command of a strfry plug-in
RELAY_POLICY_SECONDS = env.seconds("RELAY_POLICY_SECONDS", 2.0, low=0.05, high=60.0)  # for a verdict on an event
RELAY_POLICY_QUEUE = env.integer("RELAY_POLICY_QUEUE", 1_000, low=1)  # events of one worker that wait for a verdict
RELAY_POLICY_FAILURE = env.choice("RELAY_POLICY_FAILURE", "reject", ("reject", "accept"))  # without a verdict

# -- Who may read /metrics ----------------------------------------------------------------------------
RELAY_METRICS_TOKEN = env.text("RELAY_METRICS_TOKEN")
RELAY_METRICS_ALLOW = env.words("RELAY_METRICS_ALLOW", ("127.0.0.0/8", "::1/128"))
PROMETHEUS_MULTIPROC_DIR = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")  # created by `serve`

# -- Writing, ring and log ----------------------------------------------------------------------------
RELAY_WRITE_BATCH = env.integer("RELAY_WRITE_BATCH", 500, low=1, high=5_000)  # events of one transaction
RELAY_WRITE_QUEUE = env.integer("RELAY_WRITE_QUEUE", 10_000, low=1)  # queued events of one worker
RELAY_SLOW_QUERY_SECONDS = env.seconds("RELAY_SLOW_QUERY_SECONDS", 0.1, low=0.001)  # from when on it is noted
# Connections of one worker for queries, least and most: docs/operations/database.md
RELAY_PRIMARY_POOL_MIN = env.integer("RELAY_PRIMARY_POOL_MIN", 5, low=2, high=1_000)
RELAY_PRIMARY_POOL_MAX = env.integer("RELAY_PRIMARY_POOL_MAX", 20, low=2, high=1_000)
RELAY_REPLICA_POOL_MIN = env.integer("RELAY_REPLICA_POOL_MIN", 10, low=2, high=1_000)  # to each replica
RELAY_REPLICA_POOL_MAX = env.integer("RELAY_REPLICA_POOL_MAX", 50, low=2, high=1_000)
RELAY_SLOW_QUERY_CONNECTIONS = env.integer("RELAY_SLOW_QUERY_CONNECTIONS", 1, low=1, high=100)  # of each of these
RELAY_CONNECTION_IDLE_SECONDS = env.seconds("RELAY_CONNECTION_IDLE_SECONDS", 30.0, low=1.0)  # beyond the least
RELAY_CONNECTION_AGE_SECONDS = env.seconds("RELAY_CONNECTION_AGE_SECONDS", 3_600.0)  # 0: no limit
RELAY_CONNECTION_USES = env.integer("RELAY_CONNECTION_USES", 7_500)  # statements, 0: no limit
RELAY_CONNECT_SECONDS = env.integer("RELAY_CONNECT_SECONDS", 2, low=2, high=60)
RELAY_STATEMENT_SECONDS = env.seconds("RELAY_STATEMENT_SECONDS", 10.0, low=1.0)  # of pages
RELAY_DATABASE_POOLER = env.choice("RELAY_DATABASE_POOLER", "none", ("none", "transaction", "transaction-prepared"))
RELAY_STALE_READ_SECONDS = env.seconds("RELAY_STALE_READ_SECONDS", 300.0)  # of memory, while the primary is gone
RELAY_QUERY_QUEUE = env.integer("RELAY_QUERY_QUEUE", 10_000, low=1)  # waiting queries of one worker, in each lane
RELAY_QUERY_QUEUE_PER_OWNER = env.integer("RELAY_QUERY_QUEUE_PER_OWNER", 500, low=1)  # of one address
RELAY_QUERY_QUEUE_BYTES = env.integer("RELAY_QUERY_QUEUE_BYTES", 67_108_864, low=1_048_576)  # of their parameters
RELAY_ANSWER_BYTES = env.integer("RELAY_ANSWER_BYTES", 134_217_728, low=1_048_576)  # pieces of large answers
RELAY_RING_BYTES = env.integer("RELAY_RING_BYTES", 67_108_864, low=1_048_576)
RELAY_WINDOW_BYTES = env.integer("RELAY_WINDOW_BYTES", 67_108_864, low=0)  # newest events in memory, of one worker
RELAY_CACHE_LAYERS = env.choice("RELAY_CACHE_LAYERS", "l1+l2", ("none", "l1", "l1+l2"))
RELAY_LOG_KEEP = env.integer("RELAY_LOG_KEEP", 5_000_000, low=1_000_000)  # changes
RELAY_PARTITIONS = env.choice("RELAY_PARTITIONS", "year", ("year", "quarter", "month"))  # of a store that is divided
RELAY_RETENTION = env_nostr.retention("RELAY_RETENTION")  # rules such as "* 365d; 7 others 30d"
RELAY_SWEEP_SECONDS = env.seconds("RELAY_SWEEP_SECONDS", 60.0, low=1.0)  # interval of removing expired events

# -- Regions: docs/operations/regions.md; the admin has them after the first start ---------------------
RELAY_REGION = env_regions.region("RELAY_REGION")  # the name of this one, "" without regions
RELAY_REGION_LOCATION = env_regions.location("RELAY_REGION_LOCATION")
RELAY_PEERS = env_regions.peers("RELAY_PEERS", RELAY_REGION)
RELAY_GEOIP_DATABASE = env.words("RELAY_GEOIP_DATABASE")  # MMDB files: docs/operations/geo.md
RELAY_DEFAULT_REGION = env_regions.region("RELAY_DEFAULT_REGION")  # for unknown addresses, "" is this one

# -- Django -------------------------------------------------------------------------------------------
DEBUG = env.flag("DEBUG", False)
ALLOWED_HOSTS = list(env.words("ALLOWED_HOSTS", ("*",)))
BEHIND_TLS = RELAY_URL.startswith("wss://")  # a reverse proxy terminates TLS
CSRF_TRUSTED_ORIGINS = list(env.words("CSRF_TRUSTED_ORIGINS"))
if BEHIND_TLS:
    CSRF_TRUSTED_ORIGINS.append(f"https://{urlsplit(RELAY_URL).netloc}")
DATA_UPLOAD_MAX_MEMORY_SIZE = 65_536  # as relay.transport.strict_http; for other servers
ROOT_URLCONF = "relayproject.urls"
ASGI_APPLICATION = "relayproject.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = ["relayproject.formats"]

INSTALLED_APPS = [
    # Not daphne: as an app it loads Twisted into every process (0.3 s, 20 MB); our runserver is daphne's.
    "relayproject",
    "unfold",
    "relayproject.admin_app.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "django_prometheus",
    "django_celery_beat",
    "axes",
    "relay",
    "analytics",
    "replication",
]

MIDDLEWARE = [
    "relay.views.security.SecurityHeaders",
    "relay.views.static.StaticFiles",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "relay.views.pinning.PinAfterWrites",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "analytics.exposition_http.HttpMetrics",
    "axes.middleware.AxesMiddleware",  # must be last: it answers refused sign-ins
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

STATIC_URL = admin_theme.STATIC_URL
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True  # static files are served from the packages; collectstatic is optional
warnings.filterwarnings("ignore", "No directory at", UserWarning)
WHITENOISE_AUTOREFRESH = DEBUG

RELAY_DJANGO_THREADS = env.integer("RELAY_DJANGO_THREADS", 8, low=2, high=100)  # of one worker, a connection each
DATABASES = databases_of(
    DATABASE_URL,
    REPLICA_URLS,
    socket_folder=RELAY_DATA_DIR / "run",
    application_name=f"relay django {RELAY_INSTANCE}{'/' + RELAY_WORKER if RELAY_WORKER else ''}",
    connect_seconds=RELAY_CONNECT_SECONDS,
    # Pages have this limit; jobs have limits of their own, migrations none.
    statement_seconds=RELAY_STATEMENT_SECONDS if RELAY_WORKER else None,
    has_pooler=RELAY_DATABASE_POOLER != "none",
)
# For the answer of a replica that may hang, in pages and in jobs and commands; the limits of the server come first.
REPLICA_ANSWER_SECONDS = max(RELAY_STATEMENT_SECONDS, 5.0) + 2.0 if RELAY_WORKER else 60.0
REPLICAS = tuple((replica.alias, replica.weight, replica.zone) for replica in REPLICA_URLS)
DATABASE_ROUTERS = ["relay.routers.PrimaryReplicaRouter"]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# -- Sign-in of operators -----------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = ["relay.admin.sign_in.CountedSignIns", "relay.admin.sign_in.BoundedModelBackend"]
RELAY_LOGIN_FAILURES = env.integer("RELAY_LOGIN_FAILURES", 5, low=1, high=1_000)  # then the address is locked out
RELAY_LOGIN_LOCKOUT_SECONDS = env.seconds("RELAY_LOGIN_LOCKOUT_SECONDS", 900.0, low=1.0)
AXES_HANDLER = "relay.admin.sign_in.CountedFailures"
AXES_FAILURE_LIMIT = RELAY_LOGIN_FAILURES
AXES_COOLOFF_TIME = timedelta(seconds=RELAY_LOGIN_LOCKOUT_SECONDS)
AXES_LOCKOUT_PARAMETERS = ["ip_address"]  # by user name, anyone could lock out an operator
AXES_CLIENT_IP_CALLABLE = "relay.admin.lockout.network_of"
AXES_LOCKOUT_CALLABLE = "relay.admin.lockout.locked_out"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # otherwise each attempt is a write to the database
AXES_ENABLE_ADMIN = False  # relay.admin.signins shows them with unfold's templates
AXES_VERBOSE = False

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_TLS else 0
# Without trusted proxies X-Forwarded-Proto is ignored, and a redirect to https would loop.
SECURE_SSL_REDIRECT = BEHIND_TLS and bool(RELAY_TRUSTED_PROXIES)
SECURE_REDIRECT_EXEMPT = [r"^(health|ready|metrics)/?$"]  # asked from the internal network over plain HTTP
# HSTS of subdomains and preload are the domain owner's choice. The others name settings of Django that follow from
# RELAY_URL, RELAY_TRUSTED_PROXIES and SECRET_KEY here: relay.W001, relay.W002 and relay.E001 say it with these names.
SILENCED_SYSTEM_CHECKS = [f"security.W{number:03}" for number in (4, 5, 8, 9, 12, 16, 21)]

# -- Jobs ---------------------------------------------------------------------------------------------
_broker = broker_of(BROKER_URL or DEFAULT_SERVER)
CELERY_BROKER_URL = _broker.url
CELERY_BROKER_TRANSPORT_OPTIONS = _broker.options
CELERY_BROKER_USE_SSL = _broker.tls or False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = 300
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_RESULT_EXPIRES = None  # nothing is kept, so nothing is cleaned up
JOBS = scheduled_jobs(RELAY_SWEEP_SECONDS)

# -- Logging ------------------------------------------------------------------------------------------
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = env.choice("LOG_FORMAT", "text", ("text", "json"))
RELAY_PROCESS = os.environ.get("RELAY_PROCESS", "")  # "worker-1", "jobs", "replication" or "beat", by the supervisor
LOGGING = logging_config(level=LOG_LEVEL, style=LOG_FORMAT, process=RELAY_PROCESS, instance=RELAY_INSTANCE)

ENVIRONMENT_DEFAULTS = env.defaults  # variable: default, of all above; the admin's page of the settings lists them

UNFOLD = admin_theme.UNFOLD
