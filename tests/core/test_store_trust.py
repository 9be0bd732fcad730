"""Stores that other users can access, or with forged content: private files stay private, no outside file is read or removed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from support.stores import Runs, child, open_db, place_of, points_of

from sweeplens.store.backends.local import LocalBackend
from sweeplens.store.head import Head, read_head, write_head
from sweeplens.store.names import fresh_name

pytestmark = pytest.mark.skipif(os.name == "nt", reason="owners and modes are of POSIX")

root_only = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can make files of others")
NOBODY = 65534


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Where the experiments and the cache lie."""
    return tmp_path / "runs", tmp_path / "cache"


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """What the user's shell may have set."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, set[int]]:
    """The modes of folders and of files at and below a folder."""
    paths = [folder, *folder.rglob("*")]
    return {
        "folders": {stat.S_IMODE(p.stat().st_mode) for p in paths if p.is_dir()},
        "files": {stat.S_IMODE(p.stat().st_mode) for p in paths if p.is_file()},
    }


# ------------------------------------------------------------------ who may read


def test_only_the_user_can_read_a_store_whatever_the_umask(folders: tuple[Path, Path], umask: int) -> None:
    root, cache = folders
    os.umask(0o022)
    runs = Runs(root, 4, 30)
    os.umask(umask)
    assert points_of(open_db(root, cache)) == runs.values()
    assert modes(cache) == {"folders": {0o700}, "files": {0o600}}


def test_a_store_of_before_is_closed_to_others(folders: tuple[Path, Path]) -> None:
    root, cache = folders
    runs = Runs(root, 4, 30)
    points_of(open_db(root, cache))
    for folder in (place_of(root, cache), *place_of(root, cache).iterdir()):
        if folder.is_dir():
            folder.chmod(0o755)
    assert points_of(open_db(root, cache)) == runs.values()
    assert modes(place_of(root, cache))["folders"] == {0o700}


@root_only
def test_another_user_cannot_read_a_store(folders: tuple[Path, Path]) -> None:
    root, cache = folders
    Runs(root, 2, 5)
    open_db(root, cache).load_experiments()
    for above in (*place_of(root, cache).parents,):
        if above.is_relative_to(Path("/tmp")) and above != Path("/tmp"):
            above.chmod(above.stat().st_mode | 0o055)  # the store itself must hold
    sees = ["find", str(place_of(root, cache)), "-mindepth", "1"]
    found = subprocess.run(sees, user=NOBODY, group=NOBODY, capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_a_store_that_is_shared_on_purpose_has_the_rights_of_the_umask(folders: tuple[Path, Path]) -> None:
    root, cache = folders
    runs = Runs(root, 3, 5)
    cache.mkdir()
    cache.chmod(0o777)
    before = os.umask(0o002)
    try:
        db = open_db(root, cache, cache_shared=True)
        assert points_of(db) == runs.values()
    finally:
        os.umask(before)
    assert modes(place_of(root, cache)) == {"folders": {0o775}, "files": {0o664}}
    assert not db.overview().basis.warnings


# ------------------------------------------------------------------ who may write


def of_somebody_else(cache: Path, place: Path) -> None:
    del cache
    os.chown(place, NOBODY, NOBODY)


def below_a_folder_of_somebody_else(cache: Path, place: Path) -> None:
    del place
    os.chown(cache, NOBODY, NOBODY)


def a_link_of_somebody_else(cache: Path, place: Path) -> None:
    del place
    cache.rename(cache.with_name("moved"))
    cache.symlink_to(cache.with_name("moved"))
    os.chown(cache, NOBODY, NOBODY, follow_symlinks=False)


def writable_above(cache: Path, place: Path) -> None:
    del place
    cache.chmod(0o777)


def writable_for_a_group(cache: Path, place: Path) -> None:
    del place
    os.chown(cache, -1, NOBODY)
    cache.chmod(0o770)


def writable_itself(cache: Path, place: Path) -> None:
    del cache
    place.chmod(0o1777)


def a_link_in_its_place(cache: Path, place: Path) -> None:
    place.rename(cache / "elsewhere")
    place.symlink_to(cache / "elsewhere")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(of_somebody_else, "belongs to the user", marks=root_only),
        pytest.param(below_a_folder_of_somebody_else, "belongs to the user", marks=root_only),
        pytest.param(a_link_of_somebody_else, "belongs to the user", marks=root_only),
        (writable_above, "other users can write to"),
        pytest.param(writable_for_a_group, "other users can write to", marks=root_only),
        (writable_itself, "other users can write to"),
        (a_link_in_its_place, "is a link"),
    ],
)
def test_a_store_that_others_could_change_is_not_used_and_every_answer_says_why(
    folders: tuple[Path, Path], change: Callable[[Path, Path], None], said: str
) -> None:
    root, cache = folders
    runs = Runs(root, 3, 5)
    open_db(root, cache).load_experiments()
    place = place_of(root, cache)
    change(cache, place)
    before = {p: p.stat().st_mtime_ns for p in place.rglob("*")}
    runs.append(1, 5)
    db = open_db(root, cache)
    assert points_of(db) == runs.values()
    assert said in db.overview().basis.warnings[0]
    assert "is not used" in db.store
    assert {p: p.stat().st_mtime_ns for p in place.rglob("*")} == before


def test_a_store_below_a_folder_with_the_sticky_bit_is_used(folders: tuple[Path, Path]) -> None:
    root, cache = folders
    runs = Runs(root, 3, 5)
    cache.mkdir()
    cache.chmod(0o1777)
    db = open_db(root, cache)
    assert points_of(db) == runs.values()
    assert not db.overview().basis.warnings
    assert (place_of(root, cache) / "HEAD").exists()


def test_a_store_that_others_come_to_write_to_is_left_while_a_process_uses_it(folders: tuple[Path, Path]) -> None:
    root, cache = folders
    runs = Runs(root, 3, 5)
    db = open_db(root, cache)
    assert points_of(db) == runs.values()
    cache.chmod(0o777)
    runs.append(0, 3)
    assert points_of(db) == runs.values()
    assert "other users can write to" in db.overview().basis.warnings[0]


# ------------------------------------------------------------------ what a store may say


def forged(place: Path, change: Callable[[Head], Head]) -> None:
    """HEAD with other content and a right checksum, as any user with write access can make it."""
    at = LocalBackend(place)
    head = read_head(at)
    assert head is not None
    write_head(at, change(head), None)


def outside(tmp_path: Path) -> Path:
    """A file outside the store that must stay private."""
    kept = tmp_path / "outside" / "precious.parquet"
    kept.parent.mkdir()
    pl.DataFrame({"a": [1]}).write_parquet(kept)
    return kept


NAMES = ["../../../outside/precious.parquet", "points/../../../../outside/precious.parquet", "{outside}", "./LOCK"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_outside_the_store_remove_nothing(
    folders: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    root, cache = folders
    runs, precious = Runs(root, 3, 5), outside(tmp_path)
    open_db(root, cache).load_experiments()
    place = place_of(root, cache)
    named = name.format(outside=precious)
    assert name == "./LOCK" or (place / named).resolve() == precious
    forged(place, lambda head: msgspec.structs.replace(head, retired={named: 0.0}))
    runs.append(0, 60_000)  # much: it is written at once, and what is retired is removed
    assert points_of(open_db(root, cache)) == runs.values()
    forged(place, lambda head: msgspec.structs.replace(head, walk=msgspec.structs.replace(head.walk, path=named)))
    assert points_of(open_db(root, cache)) == runs.values()
    assert precious.exists()
    assert (place / "LOCK").exists()


def test_files_of_other_programs_in_the_store_stay(folders: tuple[Path, Path], tmp_path: Path) -> None:
    root, cache = folders
    runs, precious = Runs(root, 3, 5), outside(tmp_path)
    open_db(root, cache).load_experiments()
    place = place_of(root, cache)
    left = place / fresh_name("points", ".parquet")
    others = [place / "points" / "notes.txt", place / "points" / "mine.parquet", place / "HEAD.old"]
    for path in (left, *others):
        path.write_text("x")
        os.utime(path, (0, 0))
    for table in ("points", "series"):
        (place / table / "_delta_log").rename(place / table / "aside")
        (place / table / "_delta_log").symlink_to(precious.parent)
    runs.append(0, 60_000)
    assert points_of(open_db(root, cache)) == runs.values()
    assert [p.name for p in precious.parent.iterdir()] == [precious.name]
    for table in ("points", "series"):
        (place / table / "_delta_log").unlink()
    runs.append(1, 60_000)
    assert points_of(open_db(root, cache)) == runs.values()
    assert all(path.exists() for path in others)
    assert not left.exists()


WATCHED = """
import json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event in ("open", "os.scandir") else None)
from sweeplens import AnalysisConfig, ExperimentDB
for root, cache in json.loads(sys.argv[1]):
    opened.clear()
    db = ExperimentDB(AnalysisConfig(cache_dir=cache, refresh_seconds=0), root)
    for _ in range(2):
        db.overview()
        db.lazy_query().collect()
    print(json.dumps([[path for path in opened if "/strange/" in f"{path}/"], db.series_df["run_id"].n_unique()]))
"""


def watched(homes: list[Path]) -> list[list[object]]:
    """Files that a new process opens outside of each root, and the number of runs with points; it must have rebuilt each store."""
    with child(WATCHED, json.dumps([[f"{home}/insides", f"{home}/cache"] for home in homes])) as process:
        out, said = process.communicate(timeout=120)
    assert said.count("is rebuilt") == len(homes), said
    return [json.loads(line) for line in out.splitlines()]


TEXT_AS_IT_IS = b"\x00"


def packed_walk(place: Path) -> tuple[Path, list[Any]]:
    walk = next((place / "state").glob("*.walk"))
    return walk, msgspec.msgpack.decode(walk.read_bytes()[1:])  # behind the byte that says how text is written


def repacked(walk: object) -> bytes:
    return TEXT_AS_IT_IS + msgspec.msgpack.encode(walk)


def rewritten(place: Path, path: Path, data: bytes) -> None:
    """A file of the store with other content, and HEAD with what tells that it is as it should be."""
    import zlib

    path.write_bytes(data)
    name = f"{path.parent.name}/{path.name}"

    def renewed(file: Any) -> Any:
        same = file.path != name
        return file if same else msgspec.structs.replace(file, size=len(data), checksum=zlib.crc32(data))

    forged(
        place,
        lambda head: msgspec.structs.replace(
            head,
            walk=renewed(head.walk),
            view=renewed(head.view),
            tables={table: [renewed(f) for f in files] for table, files in head.tables.items()},
        ),
    )


def walk_of_another_folder(place: Path, root: Path, elsewhere: Path) -> None:
    """Moves every folder of the walk elsewhere."""
    path, said = packed_walk(place)
    text = json.dumps(said, default=lambda b: b.hex())
    rewritten(place, path, repacked(json.loads(text.replace(str(root), str(elsewhere)))))


def walk_with_another_folder(place: Path, root: Path, elsewhere: Path) -> None:
    """Moves one folder of the walk elsewhere."""
    path, said = packed_walk(place)
    text = json.dumps(said, default=lambda b: b.hex())
    rewritten(place, path, repacked(json.loads(text.replace(f"{root}/run0001", f"{elsewhere}/run0001"))))


def walk_with_a_file_above(place: Path, root: Path, elsewhere: Path) -> None:
    """A file of the walk has a name that leads elsewhere."""
    path, said = packed_walk(place)
    text = json.dumps(said, default=lambda b: b.hex())
    there = os.path.relpath(elsewhere / "run0001" / "metrics.jsonl", root / "run0001")
    rewritten(place, path, repacked(json.loads(text.replace('"metrics.jsonl"', json.dumps(there)))))


def ledger_of_other_files(place: Path, root: Path, elsewhere: Path) -> None:
    """Entries of the ledger are of files elsewhere, and so young that their content must be compared."""
    path = next((place / "ledger").glob("*.parquet"))
    frame = pl.read_parquet(path)
    old, new = str(root).encode(), str(elsewhere).encode()
    assert len(old) == len(new)
    entries = [data.replace(old, new) for data in frame["entry"]]
    frame.with_columns(pl.Series("entry", entries, dtype=pl.Binary)).write_parquet(path)
    rewritten(place, path, path.read_bytes())
    keys = [list(k) for k in frame.select("reader", "path").rows()]
    forged(place, lambda head: msgspec.structs.replace(head, young=keys))


def ledger_of_garbage(place: Path, root: Path, elsewhere: Path) -> None:
    """Entries of the ledger are not entries."""
    del root, elsewhere
    path = next((place / "ledger").glob("*.parquet"))
    frame = pl.read_parquet(path)
    frame.with_columns(pl.lit(b"\xc1garbage").alias("entry")).write_parquet(path)
    rewritten(place, path, path.read_bytes())
    keys = [list(k) for k in frame.select("reader", "path").rows()]
    forged(place, lambda head: msgspec.structs.replace(head, young=keys))


def other_columns(place: Path, root: Path, elsewhere: Path) -> None:
    """The series are of another shape."""
    del root, elsewhere
    path = next((place / "series").glob("*.parquet"))
    pl.DataFrame({"run_id": [1]}).write_parquet(path)
    rewritten(place, path, path.read_bytes())


def all_of_another_folder(place: Path, root: Path, elsewhere: Path) -> None:
    """Walk and ledger agree that everything lies elsewhere."""
    walk_of_another_folder(place, root, elsewhere)
    ledger_of_other_files(place, root, elsewhere)
    path = next((place / "ledger").glob("*.parquet"))
    frame = pl.read_parquet(path)
    moved = frame.with_columns(pl.col("path").str.replace(str(root), str(elsewhere), literal=True))
    moved.write_parquet(path)
    rewritten(place, path, path.read_bytes())
    forged(place, lambda head: msgspec.structs.replace(head, roots=[str(elsewhere)]))


LIES = (
    all_of_another_folder, walk_of_another_folder, walk_with_another_folder, walk_with_a_file_above, ledger_of_other_files,
    ledger_of_garbage, other_columns,
)  # fmt: skip


def test_a_forged_store_leads_no_process_outside_the_roots(tmp_path: Path) -> None:
    homes = [tmp_path / lie.__name__ for lie in LIES]
    for lie, home in zip(LIES, homes, strict=True):
        root, elsewhere = home / "insides", home / "strange"
        Runs(root, 3, 5)
        Runs(elsewhere, 5, 9)
        open_db(root, home / "cache").load_experiments()
        lie(place_of(root, home / "cache"), root, elsewhere)
    found = dict(zip([lie.__name__ for lie in LIES], watched(homes), strict=True))
    assert found == {lie.__name__: [[], 3] for lie in LIES}


def test_a_walk_that_names_a_link_as_a_file_does_not_follow_it(tmp_path: Path) -> None:
    root, cache, elsewhere = tmp_path / "insides", tmp_path / "cache", tmp_path / "strange"
    Runs(root, 3, 5)
    Runs(elsewhere, 1, 9)
    open_db(root, cache).load_experiments()
    log = root / "run0001" / "metrics.jsonl"
    log.unlink()
    log.symlink_to(elsewhere / "run0000" / "metrics.jsonl")
    info = log.lstat()
    path, said = packed_walk(place_of(root, cache))
    for folder in said[1]:
        if folder[0].endswith("run0001"):
            for file in folder[2]:
                if file[0] == "metrics.jsonl":
                    file[1:] = [info.st_size, info.st_mtime_ns, info.st_ino, info.st_ctime_ns]
    rewritten(place_of(root, cache), path, repacked(said))
    assert watched([tmp_path]) == [[[], 2]]
