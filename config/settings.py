"""Every setting, in one file, from the environment. docs/reference.md lists them."""

import os
import secrets
from pathlib import Path

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# Arrow's own allocator keeps for later what a process of ours gives back: 40 MiB of a freeze. It
# is chosen when pyarrow is first loaded, which is after this.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

# All data lives below one folder: database, uploads, snapshots, runs, models, broker.
HOME = Path(env("ANNOTUNE_HOME", default=str(BASE_DIR / "var"))).resolve()
HOME.mkdir(parents=True, exist_ok=True)
PORT = env.int("ANNOTUNE_PORT", default=8000)
PRODUCTION = env.bool("ANNOTUNE_PRODUCTION", default=False)
DEBUG = env.bool("DJANGO_DEBUG", default=False)


def _secret_key() -> str:
    """The key from the environment, else one made once, kept in the home, readable by us only."""
    if given := env("SECRET_KEY", default=""):
        return str(given)
    if PRODUCTION:
        raise ImproperlyConfigured("ANNOTUNE_PRODUCTION needs SECRET_KEY in the environment.")
    path = HOME / "secret_key"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text()
    with os.fdopen(handle, "w") as file:
        file.write(key := secrets.token_urlsafe(50))
    return key


SECRET_KEY = _secret_key()
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", default=[] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]"]
)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Links in invitations made from a shell; pages take the host from the request.
BASE_URL = env("ANNOTUNE_URL", default=f"http://127.0.0.1:{PORT}")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "axes",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "annotation",
    "exports",
    "training",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "annotation.zones.Middleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "annotation.context.navigation",
            ],
        },
    },
]

# How pages see what stands above them without importing it: annotation shows the links and loads
# the panels that are named here and knows nothing else of them.
NAVIGATION = [
    ("Projects", "annotation:workspace"),
    ("Datasets", "exports:datasets"),
    ("Runs", "training:runs"),
]
PANELS = {
    "dataset": ["training:dataset_panel"],
    "prompt": ["training:similar_panel"],
    "home": ["training:home_panel"],
    "project": ["exports:project_panel", "training:project_panel"],
    "stage": [],
    "snapshot": ["training:snapshot_panel"],
    "erasure": ["exports:erasure_panel", "training:erasure_panel"],
}

# Database. SQLite: WAL, and writers take their lock at BEGIN, so that none fails in the middle.
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{HOME / 'annotune.sqlite3'}")}
DATABASES["default"]["CONN_MAX_AGE"] = 600
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
        " PRAGMA temp_store=MEMORY;",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }
}

# Celery: the row is the truth, the broker a wake-up.
CELERY_BROKER_URL = env("CELERY_BROKER_URL", default="filesystem://")
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {}
if CELERY_BROKER_URL == "filesystem://":
    _broker = HOME / "broker"
    for _name in ("messages", "control"):
        (_broker / _name).mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_broker / "messages"),
        "data_folder_out": str(_broker / "messages"),
        "control_folder": str(_broker / "control"),
    }
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = False  # the sweeper brings lost work back, exactly once
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "work"  # imports, freezes, previews
CELERY_TASK_ROUTES = {
    "training.tasks.supervise": {"queue": "gpu"},
    "training.tasks.preflight": {"queue": "preflight"},  # somebody waits for it before the page
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# People
AUTH_USER_MODEL = "annotation.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "annotation.login.Backend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "annotation:home"
LOGOUT_REDIRECT_URL = "login"
SESSION_ENGINE = "annotation.sessions"
AXES_FAILURE_LIMIT = env.int("ANNOTUNE_LOGIN_TRIES", default=8)
AXES_COOLOFF_TIME = 0.25  # hours
AXES_USERNAME_FORM_FIELD = "username"  # the login form's field, though the model's is email
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_TEMPLATE = "registration/locked.html"
AXES_RESET_ON_SUCCESS = True
AXES_ENABLE_ACCESS_FAILURE_LOG = False
AXES_VERBOSE = False
vars().update(env.email("EMAIL_URL", default="consolemail://"))
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", default="annotune@localhost")

# API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "annotation.tokens.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "rest_framework.parsers.JSONParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_PAGINATION_CLASS": "annotation.pagination.ByIdPagination",
    "PAGE_SIZE": 100,
    "EXCEPTION_HANDLER": "annotation.api_errors.handler",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Annotune API",
    "DESCRIPTION": "Projects, prompts, submissions, imports, datasets, snapshots and runs.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "ImportState": "annotation.models.Import.State",
        "RunState": "training.models.Run.State",
        "SnapshotState": "exports.models.Snapshot.State",
        "StageState": "annotation.models.Stage.State",
        "SubmissionState": "annotation.models.Submission.State",
    },
}

# Time, language, files
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = not PRODUCTION
WHITENOISE_MAX_AGE = 31_536_000 if PRODUCTION else 60
MEDIA_ROOT = HOME / "uploads"
DATA_UPLOAD_MAX_MEMORY_SIZE = 20 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

# Imports: what one file may cost us. Bytes are after decompression.
IMPORT_MAX_BYTES = env.int("IMPORT_MAX_BYTES", default=2 * 1024**3)
IMPORT_MAX_RATIO = env.int("IMPORT_MAX_RATIO", default=200)
IMPORT_MAX_ROWS = env.int("IMPORT_MAX_ROWS", default=5_000_000)
IMPORT_MAX_ROW_BYTES = env.int("IMPORT_MAX_ROW_BYTES", default=4 * 1024**2)
IMPORT_MAX_DEPTH = env.int("IMPORT_MAX_DEPTH", default=50)
# Folders on the server below which leads may import dataset directories.
IMPORT_ROOTS = [Path(path).resolve() for path in env.list("ANNOTUNE_IMPORT_ROOTS", default=[])]

# Training
SNAPSHOT_ROOT = HOME / "snapshots"
LOOK_ROOT = HOME / "looks"  # what the rules of each dataset give today, for its pages
BENCHMARK_ROOT = HOME / "benchmarks"  # uploaded test sets
RUN_ROOT = HOME / "runs"
MODEL_ROOT = HOME / "models"
# Local folders outside the home from which base models may be named, by the operator only.
MODEL_PATHS = [Path(path).resolve() for path in env.list("ANNOTUNE_MODEL_PATHS", default=[])]
# The model that finds similar prompts, below one of these; else that of an installed package.
EMBEDDER = env("ANNOTUNE_EMBEDDER", default="")
ALLOW_HUB = env.bool("ANNOTUNE_ALLOW_HUB", default=False)  # no downloads unless asked for
RUN_MAX_ATTEMPTS = env.int("ANNOTUNE_RUN_MAX_ATTEMPTS", default=5)
RUN_STALE_SECONDS = env.int("ANNOTUNE_RUN_STALE_SECONDS", default=30)
# After a request to stop: how long until the trainer is sent SIGTERM, and then until SIGKILL.
RUN_STOP_SECONDS = env.int("ANNOTUNE_RUN_STOP_SECONDS", default=120)
RUN_TERM_SECONDS = env.int("ANNOTUNE_RUN_TERM_SECONDS", default=30)
PREFLIGHT_SECONDS = env.int("ANNOTUNE_PREFLIGHT_SECONDS", default=120)

# Security
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
if PRODUCTION:
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    if env.bool("BEHIND_PROXY", default=False):
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "annotation.logs.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": env("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django.server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "axes": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "kombu.connection": {"level": "ERROR"},  # the embedded broker has no host name to tell
    },
}
