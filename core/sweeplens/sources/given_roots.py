"""What a user gave as a root: a folder, an archive, or the address of another place. Nothing is fetched here.

    given_root(text)   -> `GivenRoot`; raises RootError with a sentence that helps for everything else
    check_root(path)   -> the absolute folder of a root that must be a folder on this machine
    below_root(...)    -> a root at or below a served one, for a caller who may see only a part
    shown_root(text)   -> the root as it may be shown: without a password, a token or a signature

A text is an address if it begins with a scheme (``s3://``); every other text is a path.
"""

from __future__ import annotations

import os
import re
from difflib import SequenceMatcher
from itertools import islice
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from sweeplens.errors import RootError, nearest
from sweeplens.sources.unread_formats import unread_format

__all__ = [
    "ARCHIVES",
    "OBJECT_STORES",
    "GivenRoot",
    "below_root",
    "check_root",
    "given_root",
    "is_address",
    "is_root",
    "shown_root",
]

RootKind = Literal["folder", "archive", "objects", "filesystem", "mlflow"]

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
OBJECT_STORES = ("s3", "s3a", "gs", "az", "abfs", "abfss")
_MLFLOW = ("mlflow+http", "mlflow+https")
_FILESYSTEMS = (
    "sftp", "ssh", "hf", "memory", "smb", "webdav", "webdavs", "dav", "davs", "ftp", "hdfs", "webhdfs", "gdrive", "box",
    "dropbox", "oci", "oss", "adl", "gcs", "wasb", "wasbs", "lakefs", "dbfs", "jlab",
)  # fmt: skip
"""Protocols of fsspec that hold files. Its wrappers (``zip``, ``simplecache``) and single files (``http``) are none."""
_ALIKE = 0.7  # of two names that may be meant for each other
_LOOKED_AT = 2_000  # names beside a root that does not exist
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]+):(?P<slashes>/+)")
_WITH_ONE_SLASH = (*OBJECT_STORES, *_MLFLOW, *_FILESYSTEMS, "file", "http", "https", "wandb")
_SSH_PATH = re.compile(r"(?:(?P<user>[\w.\-]+)@(?=.)|(?=[\w.\-]+:[/~]))(?P<host>[\w.\-]{2,}):(?P<path>.*)")
_WEIGHTS = re.compile(r"\.(?:pt|pth|ckpt|safetensors|onnx|bin|gguf|msgpack|keras|pb|tflite|weights)$", re.IGNORECASE)
_WANDB = (
    "W&B's cloud is not read: sweeplens reads what W&B writes on the disk. Pass the folder that contains `wandb/`: online runs, and"
    " offline ones that `wandb sync` sends later, leave their .wandb files there. Or export the runs with `wandb.Api()` to CSV."
)
_OTHER_CLOUDS = {
    "comet.com": "Comet's cloud is not read: pass a folder with the archives of `comet_ml.OfflineExperiment`.",
    "neptune.ai": "Neptune's cloud is not read: export the series with `fetch_values().to_csv(...)` and pass that folder.",
    "clear.ml": "ClearML's server is not read: export the scalars as JSON or CSV and pass that folder.",
    "huggingface.co": "Pass a repository of the Hugging Face Hub as hf://OWNER/NAME, or hf://datasets/OWNER/NAME.",
    "github.com": "A repository is not read from its web page: clone it and pass the folder.",
    "gitlab.com": "A repository is not read from its web page: clone it and pass the folder.",
    "amazonaws.com": "Pass a bucket by its address s3://BUCKET/PREFIX, not by that of its server.",
    "storage.googleapis.com": "Pass a bucket by its address gs://BUCKET/PREFIX, not by that of its server.",
    "blob.core.windows.net": "Pass a container by its address az://CONTAINER/PREFIX, not by that of its server.",
}


class GivenRoot(Struct, frozen=True):
    """A root: ``address`` as it was given, ``shown`` without secrets; ``path`` for a folder and an archive."""

    kind: RootKind
    address: str
    shown: str
    path: Path = Path()


def given_root(root: str | Path) -> GivenRoot:
    """Returns what a root is. Raises RootError, which says what to pass instead."""
    text = os.fspath(root)
    if not text.strip():
        raise RootError("The root is empty: pass the folder of experiments, `.` for the current one.")
    if "${" in text:
        raise RootError(
            f"Root {text!r} has an unexpanded variable: this client does not expand it, so write out the path."
        )
    scheme = _SCHEME.match(text)
    if (
        scheme
        and not _is_folder(Path(text))
        and (scheme["slashes"] != "/" or scheme["scheme"].lower() in _WITH_ONE_SLASH)
    ):
        return _from_address(text, scheme["scheme"].lower(), scheme["slashes"])
    return _from_path(text)


def check_root(path: str | Path) -> Path:
    """Returns the absolute folder of a root. Raises RootError, which says what to do."""
    given = given_root(path)
    if given.kind == "folder":
        return given.path
    if given.kind == "archive":
        raise RootError(
            f"{given.shown!r} is an archive: `ExperimentDB` and the command line read it, this needs a folder."
        )
    raise RootError(f"{given.shown!r} is an address: `ExperimentDB` and the command line read it, this needs a folder.")


def is_address(text: str) -> bool:
    """Whether a root is the address of another place, not a path."""
    scheme = _SCHEME.match(text)
    return scheme is not None and scheme["slashes"] == "//" and scheme["scheme"].lower() != "file"


def is_root(text: str) -> bool:
    """Whether a word is a root, not another argument: an address, a folder or an archive that exists."""
    path = Path(text)
    return is_address(text) or _is_folder(path) or (text.lower().endswith(ARCHIVES) and os.path.isfile(text))  # noqa: PTH113


def below_root(wanted: str, served: GivenRoot) -> str | None:
    """Returns the root for a place at or below a served one, with the credentials of the latter; None if it is not below it.

    Nothing of ``wanted`` but the path below counts, and no path goes up.
    """
    if served.kind == "folder":
        path = Path(wanted).resolve()
        return None if is_address(wanted) or not path.is_relative_to(served.path) else str(path)
    asked = shown_root(wanted)
    if asked == served.shown:
        return served.address
    rest = unquote(asked[len(served.shown) :])
    inside = asked.startswith(served.shown + "/") and served.kind != "archive" and "?" not in served.address
    if not inside or any(part in ("", ".", "..") for part in re.split(r"[/\\]", rest[1:])):
        return None
    return served.address.rstrip("/") + asked[len(served.shown) :]


def shown_root(text: str) -> str:
    """Returns a root without what may be secret in an address: the password, the query and the fragment."""
    if not _SCHEME.match(text):
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return text.partition("://")[0] + "://..."
    user, at, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    slashes = "://" if text[len(parts.scheme) + 1 :].startswith("//") else ":"
    return f"{parts.scheme}{slashes}{name}{at if name else ''}{host}{parts.path.rstrip('/')}"


# ------------------------------------------------------------------ addresses


def _from_address(text: str, scheme: str, slashes: str) -> GivenRoot:
    shown = shown_root(text)
    if scheme == "file":
        return _from_path(_path_of_file_url(text))
    if len(slashes) == 1:
        raise RootError(
            f"{shown!r} is no address: two slashes follow the colon, as in {scheme + '://' + _tail(shown)!r}."
        )
    try:
        netloc = urlsplit(text).netloc
    except ValueError as error:
        raise RootError(f"{shown!r} is no address: {error}.") from error
    kind = _kind_of(scheme)
    if kind is None:
        raise RootError(_refusal(shown, scheme))
    if not netloc and kind != "filesystem":
        missing = "the address of the server" if kind == "mlflow" else "the name of the bucket"
        raise RootError(f"{shown!r} lacks {missing}: pass {_example(kind, scheme)!r}.")
    return GivenRoot(kind, text, shown)


def _kind_of(scheme: str) -> RootKind | None:
    if scheme in OBJECT_STORES:
        return "objects"
    if scheme in _MLFLOW:
        return "mlflow"
    return "filesystem" if scheme in _FILESYSTEMS else None


def _example(kind: RootKind, scheme: str) -> str:
    return f"{scheme}://127.0.0.1:5000" if kind == "mlflow" else f"{scheme}://BUCKET/PREFIX"


def _known() -> tuple[str, ...]:
    return (*OBJECT_STORES, *_MLFLOW, *_FILESYSTEMS)


def _tail(shown: str) -> str:
    return shown.partition(":")[2].lstrip("/")


def _refusal(shown: str, scheme: str) -> str:
    """Returns why an address cannot be a root, and what to pass instead."""
    host = urlsplit(shown).hostname or ""
    if scheme == "wandb" or host == "wandb.ai" or host.endswith(".wandb.ai"):
        return f"{shown!r} is not read. {_WANDB}"
    if scheme in ("http", "https"):
        for domain, advice in _OTHER_CLOUDS.items():
            if host == domain or host.endswith(f".{domain}"):
                return f"{shown!r} is not read. {advice}"
        return (
            f"{shown!r} is a web page, which is not read. For an MLflow tracking server pass {_mlflow_address(shown)!r}; for"
            " a bucket s3://, gs:// or az://; download an archive and pass its file."
        )
    if scheme == "databricks":
        return f"{shown!r} is not read: pass the workspace as mlflow+https://HOST, with MLFLOW_TRACKING_TOKEN set."
    if scheme in ("sqlite", "postgresql", "postgres", "mysql", "mssql"):
        return (
            f"{shown!r} is not read. For a database of SQLite pass the folder that contains its file; for another one that"
            " MLflow uses, start `mlflow server` on it and pass mlflow+http://127.0.0.1:5000."
        )
    near = nearest(scheme, (*_known(), "file"))
    offer = f" Nearest: {', '.join(f'{n}://' for n in near)}." if near else ""
    return (
        f"{shown!r} begins with {scheme}://, which is not known.{offer} A root is a folder, an archive, s3://, gs://, az://,"
        " sftp://, hf://, or an MLflow server as mlflow+http://."
    )


def _mlflow_address(shown: str) -> str:
    parts = urlsplit(shown)
    return f"mlflow+{parts.scheme}://{parts.netloc}"


def _path_of_file_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise RootError(
            f"{text!r} names the machine {parts.netloc!r}: a file: address has three slashes, as in 'file:///home/me/exp'."
            " For another machine pass sftp://HOST/PATH, or mount it."
        )
    if os.name != "nt":
        return unquote(parts.path)
    from urllib.request import url2pathname

    return url2pathname(parts.path)


# ------------------------------------------------------------------ paths


def _from_path(text: str) -> GivenRoot:
    try:
        root = Path(text).expanduser()
    except RuntimeError as error:
        raise RootError(f"Root {text!r} names a user whose home folder is not known: write out the path.") from error
    absolute = root if root.is_absolute() else Path.cwd() / root
    try:
        if absolute.is_dir():
            return GivenRoot("folder", text, str(absolute.resolve()), absolute.resolve())
        exists = absolute.exists()
    except (OSError, ValueError) as error:
        raise RootError(
            f"Root {text[:200]!r} cannot be a path: {getattr(error, 'strerror', None) or error}."
        ) from error
    if not exists:
        raise RootError(_missing(text, absolute))
    if absolute.is_file() and absolute.name.lower().endswith(ARCHIVES):
        return GivenRoot("archive", text, str(absolute.resolve()), absolute.resolve())
    raise RootError(_no_folder(absolute))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _missing(text: str, absolute: Path) -> str:
    """Returns what is there instead of a folder that does not exist."""
    ssh = _SSH_PATH.fullmatch(text)
    if ssh and os.name != "nt":
        user = f"{ssh['user']}@" if ssh["user"] else ""
        path = ssh["path"] if ssh["path"].startswith("/") else f"/home/{ssh['user'] or 'ME'}/{ssh['path'].lstrip('~/')}"
        return f"Root {text!r} names a folder of another machine: pass 'sftp://{user}{ssh['host']}{path}'."
    if any(sign in text for sign in "*?["):
        return f"Root {text!r} is a pattern that nothing expanded: pass the folder above, all runs below it are found."
    if absolute.is_symlink():
        return f"Root {str(absolute)!r} is a link to {str(absolute.readlink())!r}, which does not exist."
    here = absolute
    while not here.exists():
        here = here.parent
    if not here.is_dir():
        return f"No folder {str(absolute)!r}: {str(here)!r} is a file. {_no_folder(here)}"
    near = _similar(text, absolute, here)
    if near:
        return f"No folder {str(absolute)!r}. Did you mean {' or '.join(map(repr, near))}?"
    return f"No folder {str(absolute)!r}. The nearest that exists is {str(here)!r}: pass a folder that exists."


def _similar(text: str, absolute: Path, here: Path) -> list[str]:
    """Returns folders and archives with a similar name for the first part that does not exist, written as the root was."""
    wrong = absolute.relative_to(here).parts[0]
    try:
        names = [p.name for p in islice(here.iterdir(), _LOOKED_AT) if p.is_dir() or p.name.lower().endswith(ARCHIVES)]
    except OSError:
        return []
    near = [n for n in nearest(wrong, names) if SequenceMatcher(None, wrong.lower(), n.lower()).ratio() >= _ALIKE]
    found = [here.joinpath(name, *absolute.relative_to(here / wrong).parts) for name in near[:2]]
    is_relative = not Path(text).expanduser().is_absolute() and here.is_relative_to(Path.cwd())
    return [str(path.relative_to(Path.cwd()) if is_relative else path) for path in found if path.exists()]


def _no_folder(file: Path) -> str:
    """Returns what a file is, and what to pass instead."""
    folder = f"pass the folder that contains it, {str(file.parent)!r}"
    if not file.is_file():
        return f"Root {str(file)!r} is no folder and no file (a device, a pipe or a socket): pass a folder."
    if _WEIGHTS.search(file.name):
        return f"Root {str(file)!r} is a checkpoint, which is never opened: pass the folder with the run's logs."
    known = unread_format(file.name)
    if known is not None and known.name != "an archive":
        return f"Root {str(file)!r} is {known.name}: {known.remedy}. Then {folder}."
    if known is not None:
        return f"Root {str(file)!r} is an archive of a kind that is not read: unpack it and pass the folder."
    return f"Root {str(file)!r} is a file: {folder}."
