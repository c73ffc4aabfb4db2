"""Django's settings. Every value that differs between deployments comes from an environment variable."""

import logging
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.retry import Retry

from ccweb import env

BASE_DIR = Path(__file__).resolve().parent.parent
EMBEDDED_SECRET_KEY = "embedded-key-that-only-serves-loopback-in-debug"  # noqa: S105  not a secret
RUNNING = env.load_local_files(BASE_DIR)  # addresses and ports of what `make run` started

# --- Security -----------------------------------------------------------------------------------
# For development on one machine: `make run` and `make test` turn it on, and only clients on loopback are answered then.
DEBUG = env.flag("DEBUG", False)
API_IS_OPEN = DEBUG  # to loopback clients, without a key; see ccweb.api.middleware.LoopbackOnly
SECRET_KEY = env.text("SECRET_KEY", EMBEDDED_SECRET_KEY if DEBUG else "")
SECRET_KEY_FALLBACKS = env.names("SECRET_KEY_FALLBACKS")  # old keys, as long as sessions signed with them are valid
if not SECRET_KEY:
    raise ImproperlyConfigured("environment variable SECRET_KEY is missing: with DEBUG off it must be set")
# The key of the digests of erased users: after a change, earlier erasures are no longer recognised.
ERASURE_KEY = env.text("ERASURE_KEY", SECRET_KEY)
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS", "")
if DEBUG:
    ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]  # any other name leads through a proxy, or is a rebound one
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")  # besides loopback
METRICS_ALLOWED = env.networks("METRICS_ALLOWED")  # besides loopback
METRICS_HOST = env.text("METRICS_HOST", "127.0.0.1")  # where the relay and the scheduler serve /metrics and /healthz,
METRICS_PORT = env.whole("METRICS_PORT", 0, most=65_535)  # unless the port is 0
VERSION = "0.1.0"  # as in pyproject.toml, which the image does not hold; it and RELEASE are shown in /metrics
RELEASE = env.text("RELEASE")
THROTTLE_KEY = env.per_minute("THROTTLE_KEY", 600)
THROTTLE_ADDRESS = env.per_minute("THROTTLE_ADDRESS", 1200)

# HTTPS only, once DEBUG is off. X-Forwarded-Proto is accepted from trusted proxies only
# (ccweb.request.client_address).
HTTPS = not DEBUG
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [
    "^(healthz|readyz|metrics)$",  # requested by probes in the same network, without TLS
    "^api(/|$)",  # refused instead (ccweb.api.middleware.RequestGuard): a POST that follows a redirect becomes a GET
]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.flag("SECURE_HSTS_INCLUDE_SUBDOMAINS", False)
SECURE_HSTS_PRELOAD = env.flag("SECURE_HSTS_PRELOAD", False)
CONTENT_SECURITY_POLICY = {  # of pages; the one of JSON is in ccweb.api.middleware
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],  # the icons of Swagger UI
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

ADMIN_REQUIRE_OTP = env.flag("ADMIN_REQUIRE_OTP", not DEBUG)  # a second factor of staff
OTP_TOTP_ISSUER = "CC Webapp"  # how authenticator apps name the account
# Staff sessions are stored in the database, so that a loss of Redis ends no session.
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = ("__Host-sid", "__Host-csrf") if HTTPS else ("sessionid", "csrftoken")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Strict"
SESSION_COOKIE_AGE = 8 * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
FILE_UPLOAD_HANDLERS: list[str] = []  # no form takes a file, so no request writes one
PASSWORD_HASHERS = ["ccweb.admin.passwords.Argon2", "django.contrib.auth.hashers.PBKDF2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 14}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# --- Apps ---------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "ccweb.staff.apps.StaffConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_api_key",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_apscheduler",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "ccweb",
    "ccweb.api",
    "actions",
    "segments",
    "visits",
]
MIDDLEWARE = [
    "ccweb.server.request_log.RequestLog",  # first, so that it sees every answer
    "ccweb.api.middleware.BodyGuard",
    "ccweb.api.middleware.LoopbackOnly",  # before ClientAddress, which uses up X-Forwarded-For
    "ccweb.request.client_address.ClientAddress",  # before all that read the client address
    "django.middleware.security.SecurityMiddleware",
    "ccweb.api.middleware.ContentPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "ccweb.api.rate_limits.Limits",
    "ccweb.api.middleware.RequestGuard",
    "ccweb.staff.middleware.Sessions",
    "ccweb.api.middleware.HostGuard",
    "django.middleware.csrf.CsrfViewMiddleware",
    "ccweb.staff.middleware.Authentication",
    "ccweb.staff.middleware.SecondFactor",
    "ccweb.staff.middleware.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "ccweb.urls"
WSGI_APPLICATION = "ccweb.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Database -----------------------------------------------------------------------------------
SQLITE: dict[str, Any] = {
    # IMMEDIATE: a transaction that will write waits for the lock at its start instead of failing at its first write.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # FULL: an acknowledged action survives a power cut, not only a killed process.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
}
POSTGRESQL: dict[str, Any] = {
    "connect_timeout": 3,
    "tcp_user_timeout": 3000,
    "keepalives_idle": 5,
    "target_session_attrs": "primary",  # of several hosts, or of a name that still leads to a standby after a failover
    "load_balance_hosts": "random",  # else a dead first host would cost every short deadline, such as that of /readyz
    "server_side_binding": True,
    "prepare_threshold": 3,
}
# A pooler in transaction mode gives each transaction another session, so nothing is prepared for a later one. PgBouncer
# reports for ever whether its first server was a standby, so that it is not asked.
POOLED: dict[str, Any] = POSTGRESQL | {"prepare_threshold": None, "target_session_attrs": "any"}
# Requests use DATABASE_URL. All else, commands and the threads of the web process, uses DATABASE_DIRECT_URL.
EMBEDDED_DATABASE = BASE_DIR / "var" / "db.sqlite3"
DATABASE = env.database("DATABASE_URL", EMBEDDED_DATABASE)
DIRECT = env.database("DATABASE_DIRECT_URL", EMBEDDED_DATABASE) if env.text("DATABASE_DIRECT_URL") else DATABASE
DATABASE_POOLED = env.flag("DATABASE_POOLED", False)
IS_POSTGRESQL = DATABASE["ENGINE"].endswith("postgresql")
if (DATABASE_POOLED and not env.text("DATABASE_DIRECT_URL")) or DIRECT["ENGINE"] != DATABASE["ENGINE"]:
    raise ImproperlyConfigured(
        "environment variable DATABASE_DIRECT_URL must lead to the database of DATABASE_URL without a pooler; "
        "it is required with DATABASE_POOLED=1"
    )
DATABASES = {
    "default": DIRECT
    | {
        "OPTIONS": (POSTGRESQL if IS_POSTGRESQL else SQLITE) | DIRECT.get("OPTIONS", {}),
        "CONN_MAX_AGE": None if IS_POSTGRESQL else 0,
        "CONN_HEALTH_CHECKS": True,
        **({"ENGINE": "ccweb.db.postgresql"} if IS_POSTGRESQL else {}),  # Django's backend with deadlines
    }
}
DATABASE_OF_REQUESTS: dict[str, Any] = {}  # what differs in them, see ccweb.db.postgresql
if DIRECT != DATABASE:
    DATABASE_OF_REQUESTS = DATABASE | {
        "OPTIONS": (POOLED if DATABASE_POOLED else POSTGRESQL) | DATABASE.get("OPTIONS", {})
    }
SILENCED_SYSTEM_CHECKS = [
    "models.W040",  # SQLite ignores INCLUDE columns, which does no harm
    "security.W005",  # HSTS for subdomains and preload lists binds the whole domain: its owner's decision,
    "security.W021",  # SECURE_HSTS_INCLUDE_SUBDOMAINS and SECURE_HSTS_PRELOAD
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: optional; short timeouts, no retries by the client (the default took 4 s a call) -----
REDIS_URL = env.url("REDIS_URL", RUNNING.get("redis_url", "redis://127.0.0.1:6379/0"), "redis", "rediss", "unix")
REDIS_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": 0.05,
    "socket_timeout": 0.1,
    "retry": Retry(NoBackoff(), 0),
}
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {
            "CONNECTION_POOL_KWARGS": REDIS_OPTIONS,
            # The default unpickles what it reads: whoever can write to Redis could have us execute any code.
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
        },
    }
}

# --- Kafka --------------------------------------------------------------------------------------
KAFKA_BROKER = env.addresses("KAFKA_BROKER", RUNNING.get("kafka_broker", "127.0.0.1:9092"))
KAFKA_PARTITIONS = env.whole("KAFKA_PARTITIONS", 3, least=1, most=10_000)
KAFKA_REPLICATION = env.whole("KAFKA_REPLICATION", 1, least=1, most=100)
KAFKA_TOPIC_PREFIX = env.topic_prefix("KAFKA_TOPIC_PREFIX")
KAFKA_SECURITY = {  # properties of librdkafka; actions.kafka.config checks that they fit together
    "security.protocol": env.one_of("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT", env.KAFKA_PROTOCOLS),
    "sasl.mechanism": env.one_of("KAFKA_SASL_MECHANISM", "", env.KAFKA_MECHANISMS),
    "sasl.username": env.text("KAFKA_SASL_USERNAME"),
    "sasl.password": env.text("KAFKA_SASL_PASSWORD"),
    "ssl.ca.location": env.file("KAFKA_SSL_CA"),
    "ssl.certificate.location": env.file("KAFKA_SSL_CERT"),
    "ssl.key.location": env.file("KAFKA_SSL_KEY"),
}
KAFKA_OPTIONS = env.options("KAFKA_OPTIONS")
RELAY_IN_WEB = env.flag("RELAY_IN_WEB", True)

# --- make run -----------------------------------------------------------------------------------
PORT = env.whole("PORT", 8000, least=1, most=65_535)

# --- What the API accepts -----------------------------------------------------------------------
MAX_ACTION_AGE_DAYS = env.whole("MAX_ACTION_AGE_DAYS", 400, least=1, most=36_500)

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["ccweb.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["ccweb.api.permissions.HasScope"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "ccweb.api.renderers.QuickNegotiation",
    "DEFAULT_RENDERER_CLASSES": ["ccweb.api.renderers.QuickJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["ccweb.api.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "ccweb.api.pagination.KeysetPagination",
    "DEFAULT_FILTER_BACKENDS": ["ccweb.api.filters.StrictFilters"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "ccweb.api.problems.problem_response",
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS is 405: the API is described by /api/schema
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,  # ?format= is an unknown parameter like any other
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "CC Webapp",
    "DESCRIPTION": "Records user actions, assigns users to RFM groups, recommends rewards.",
    "VERSION": "1",
    "COMPONENT_SPLIT_REQUEST": True,  # a value may be sent as a number, but is always answered as a string
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "ccweb.api.openapi.describe_answers",
        "ccweb.events.openapi.describe_recording",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_AUTHENTICATION": ["ccweb.api.authentication.ApiKeyAuthentication", "ccweb.api.authentication.StaffSession"],
    "SERVE_PERMISSIONS": ["ccweb.api.permissions.IsKnown"],
}

# --- Time, language, static files ---------------------------------------------------------------
TIME_ZONE = "UTC"
SHOP_TIME_ZONE = env.time_zone("SHOP_TIME_ZONE", "UTC")  # of the nightly batch and of dates; see ccweb.api.shop_clock
RFM_AS_OF = env.one_of("RFM_AS_OF", "NOW", ("NOW", "DATA"))
USE_TZ = True
LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = "ccweb.formats"
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # static files are served from the packages, without collectstatic

# --- Logs ---------------------------------------------------------------------------------------
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Collected for every record but used by none of our formatters (Python's logging HOWTO, "Optimization").
logging.logThreads = logging.logMultiprocessing = False
logging._srcfile = None
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "ccweb.logs.LineFormatter"}, "json": {"()": "ccweb.logs.JSONFormatter"}},
    "filters": {"tracebacks": {"()": "ccweb.logs.OnlyTracebacks"}},
    "handlers": {"console": {"class": "ccweb.logs.Console", "formatter": "line" if DEBUG else "json"}},
    "loggers": {
        "django": {"handlers": [], "level": "INFO"},  # with Django's own handlers every line would be written twice
        "django.request": {"filters": ["tracebacks"]},
        "django.security.DisallowedHost": {"level": "CRITICAL"},  # answered with 400, which is counted and logged
    },
    "root": {"handlers": ["console"], "level": env.one_of("LOG_LEVEL", "INFO", LOG_LEVELS)},
}
