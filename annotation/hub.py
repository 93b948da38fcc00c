"""A dataset on the Hub: which files it has at which commit, and how one of them comes here.

Only where the operator allows it, and never with the server's credentials: what is public, no more.
The address is the operator's HF_ENDPOINT, else huggingface.co."""

import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from annotation.errors import Refused
from annotation.folders import MAX_FILES, Plan, check_name, plan
from annotation.readers.streams import in_words

log = logging.getLogger("annotation.importing")
ENDPOINT = "https://huggingface.co"
PREFIX = "hub:"
REPO = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", re.ASCII)
REVISION = re.compile(r"[\w][\w./-]{0,99}", re.ASCII)
SMALL = 1024**2  # bytes of a card that is read to know what the files are
SECONDS = 10.0  # to wait for an answer
OFF = (
    "Downloads from the Hub are off. The operator turns them on with ANNOTUNE_ALLOW_HUB=1; without "
    "them, download the files elsewhere and upload them here."
)


@dataclass(frozen=True)
class Remote:
    """A dataset at one commit; sizes in bytes."""

    repo: str
    sha: str
    plan: Plan
    sizes: dict[str, int]

    @property
    def source(self) -> str:
        return f"{PREFIX}{self.repo}@{self.sha}"

    @property
    def homepage(self) -> str:
        return f"{endpoint()}/datasets/{self.repo}/tree/{self.sha}"

    @property
    def bytes(self) -> int:
        return sum(self.sizes[part.name] for part in self.plan.parts)


def endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")


def look(repo: str, *, revision: str = "", config: str = "", split: str = "") -> Remote:
    """What the dataset holds, before anything but its card is fetched.

    Raises Refused: off, no such dataset, a config to be named, too large."""
    if not settings.ALLOW_HUB:
        raise Refused(OFF, field="hub")
    repo = repo.strip().removeprefix(PREFIX).removeprefix(f"{endpoint()}/datasets/").strip("/")
    if not REPO.fullmatch(repo) or ".." in repo:
        raise Refused(f"“{repo[:100]}” is no Hub id: write owner/name.", field="hub")
    if revision and not REVISION.fullmatch(revision):
        raise Refused(f"“{revision[:100]}” is no branch, tag or commit.", field="revision")
    from huggingface_hub import HfApi

    with _in_words(repo, revision):
        info = HfApi(endpoint=endpoint(), token=False).dataset_info(
            repo, revision=revision or None, files_metadata=True, timeout=SECONDS, token=False
        )
    if len(info.siblings or []) > MAX_FILES:
        raise Refused(f"The dataset has more than {MAX_FILES:,} files.", field="hub")
    sizes: dict[str, int] = {}
    for sibling in info.siblings or []:
        check_name(sibling.rfilename)
        if not any(part.startswith(".") for part in sibling.rfilename.split("/")):
            sizes[sibling.rfilename] = int(sibling.size or 0)
    sha = str(info.sha or "")
    if not re.fullmatch(r"[0-9a-f]{40}", sha):
        raise Refused(f"The Hub names no commit for {repo}.", field="hub")

    def read(name: str) -> str:
        if sizes[name] > SMALL:
            raise Refused(f"{name} of {repo} is larger than {in_words(SMALL)}.", field="hub")
        with tempfile.TemporaryDirectory() as folder:
            path = download(repo, sha, name, sizes[name], Path(folder))
            return path.read_text("utf-8", "replace")

    found = plan(sorted(sizes), read, config=config, split=split, arrow=False)
    remote = Remote(repo, sha, found, sizes)
    if remote.bytes > settings.IMPORT_MAX_BYTES:
        raise Refused(
            f"The files hold {in_words(remote.bytes)}; {in_words(settings.IMPORT_MAX_BYTES)} is "
            "the limit (IMPORT_MAX_BYTES): name one split, or let the operator raise it.",
            field="hub",
        )
    return remote


def download(
    repo: str,
    sha: str,
    name: str,
    size: int,
    folder: Path,
    moved: Callable[[int], None] | None = None,
) -> Path:
    """Fetch one file into the folder. `moved` is told how many bytes came since it was last asked,
    and may raise to stop it.

    Raises Refused if it does not come or has another size than the Hub said."""
    from huggingface_hub import hf_hub_download
    from tqdm.auto import tqdm

    came = 0

    class Progress(tqdm):
        """Bytes, told to us instead of to a terminal."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal came
            came += int(n or 0)
            if came > size:
                raise Refused(f"{name} of {repo} is larger than the Hub said.")
            if moved is not None:
                moved(int(n or 0))
            return None

    with _in_words(repo, sha):
        path = Path(
            hf_hub_download(
                repo,
                name,
                repo_type="dataset",
                revision=sha,
                local_dir=folder,
                endpoint=endpoint(),
                token=False,
                etag_timeout=SECONDS,
                tqdm_class=Progress,
            )
        )
    if not path.resolve().is_relative_to(folder.resolve()) or path.stat().st_size != size:
        raise Refused(f"{name} of {repo} did not come whole: try again.")
    return path


@contextmanager
def _in_words(repo: str, revision: str) -> Iterator[None]:
    """The library's errors as refusals that say what to do."""
    from huggingface_hub import errors

    try:
        yield
    except Refused:
        raise
    except errors.GatedRepoError:
        why = f"{repo} is gated: its owner asks for consent. Download it yourself and upload it."
        raise Refused(why, field="hub") from None
    except errors.RevisionNotFoundError:
        raise Refused(f"{repo} has no revision “{revision}”.", field="revision") from None
    except errors.RepositoryNotFoundError:
        why = f"There is no public dataset {repo} on {endpoint()}."
        raise Refused(why, field="hub") from None
    except errors.OfflineModeIsEnabled:
        why = "This server is told to stay offline: the operator unsets HF_HUB_OFFLINE."
        raise Refused(why, field="hub") from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError, ValueError) as error:
        log.warning("hub", extra={"repo": repo, "error": str(error)[:500]})
        kind = type(error).__name__
        why = f"{endpoint()} did not answer as it should ({kind}): try again later."
        raise Refused(why, field="hub") from None
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("httpx", "httpx2", "httpcore", "hf_xet"):
            raise
        log.warning("hub", extra={"repo": repo, "error": str(error)[:500]})
        why = f"{endpoint()} cannot be reached ({type(error).__name__}): try again later."
        raise Refused(why, field="hub") from None
