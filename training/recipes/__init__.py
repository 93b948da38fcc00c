"""The part that trains. No Django, no Celery; the web reads configs, run_dir and artifacts only."""

import logging
import os

# Set before anything of Hugging Face is imported: no downloads unless asked for, no telemetry, no
# progress bars in the log.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# It asks for a package that only makes 4-bit layers quicker, and did so first in every run's log.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
