"""No split of a ledger has a subject, a seed or an instance picture on both sides."""

import csv
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from detectorkit.datasets import (
    Ledger,
    LedgerRow,
    align,
    load_images,
    read_ledger,
    train_val_test_split,
)
from detectorkit.evaluation import (
    GeneratorDateSplit,
    LeaveOneFamilyOut,
    LeaveOneGeneratorOut,
    LeaveOneSourceOut,
    LeaveSourcesOut,
    StratifiedGroupShuffleSplit,
)
from detectorkit.images.encoding import encode_image

DATES = {"lora": "2023", "gan": "2018", "sdxl": "2024"}
PICTURES = st.sets(st.sampled_from([f"{n:064x}" for n in range(12)]), max_size=2)


@st.composite
def ledgers(draw):
    """Rows of photographs and of three generators, with much, little or nothing in common."""
    n_subjects, n_seeds = draw(st.integers(1, 30)), draw(st.integers(1, 60))
    rows = []
    for i in range(draw(st.integers(24, 60))):
        generated = i % 2
        known = draw(st.integers(0, 5))  # which of the cells are not empty
        rows.append(
            LedgerRow(
                path=f"{i}.png",
                label=generated,
                generator=list(DATES)[i // 2 % 3] if generated else "",
                source="" if generated else f"camera {i // 2 % 4}",
                subject=f"person {draw(st.integers(0, n_subjects))}" if known == 0 else "",
                seed=draw(st.integers(0, n_seeds)) if generated and known < 3 else None,
                instance=tuple(draw(PICTURES)) if generated and known == 4 else (),
                base_model=draw(st.sampled_from(["", "sd-1", "sd-2"])) if generated else "",
                sha256=f"{draw(st.integers(0, 12)) if known == 5 else 100 + i:064x}",
            )
        )
    return rows


def links(row):
    """What must not be on both sides, said anew for the test."""
    found = {("picture", picture) for picture in (*row.instance, row.sha256)}
    if row.subject:
        found.add(("subject", row.subject))
    if row.seed is not None and row.generator:
        found.add(("seed", row.base_model or row.generator, row.seed))
    return found


def assert_apart(rows, *parts):
    seen = [set().union(*(links(rows[i]) for i in part)) for part in parts]
    for number, one in enumerate(seen):
        for other in seen[number + 1 :]:
            assert not one & other


def read(rows, folder):
    """Write a ledger, and read it as every user does."""
    folder.mkdir(exist_ok=True)
    (folder / "ledger.csv").unlink(missing_ok=True)
    Ledger(folder).append(rows)
    return load_images(folder / "ledger.csv")


@given(rows=ledgers(), random_state=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_three_parts_share_nothing(tmp_path_factory, rows, random_state):
    found = read(rows, tmp_path_factory.getbasetemp() / "parts")
    index = np.arange(len(rows))
    try:
        parts = train_val_test_split(
            index,
            found.target,
            groups=found.groups,
            keep_near_duplicates=False,
            val_size=0.2,
            test_size=0.2,
            random_state=random_state,
        )[:3]
    except ValueError:  # a set is empty, as nearly all rows are in one group
        reject()
    assert sorted(np.concatenate(parts)) == index.tolist()
    assert_apart(rows, *parts)


@pytest.mark.parametrize(
    ("splitter", "column"),
    [
        (StratifiedGroupShuffleSplit(n_splits=2, test_size=0.3, random_state=0), None),
        (LeaveOneGeneratorOut(), "origin"),
        (LeaveOneFamilyOut(), "origin"),
        (LeaveOneSourceOut(), "origin"),
        (GeneratorDateSplit(DATES), "origin"),
        (LeaveSourcesOut(n_splits=2, random_state=0), "origin"),
    ],
    ids=lambda value: type(value).__name__ if value is not None else "",
)
@given(rows=ledgers())
@settings(max_examples=10, deadline=None)
def test_folds_share_nothing(tmp_path_factory, splitter, column, rows):
    found = read(rows, tmp_path_factory.getbasetemp() / "folds")
    groups = found.groups
    if column:
        groups = np.column_stack([found[column], groups])
    try:
        folds = list(splitter.split(found.data, found.target, groups))
    except ValueError:  # nothing is left to train on, or a set lacks a class
        reject()
    for train, test in folds:
        assert len(train)
        assert len(test)
        assert_apart(rows, train, test)


def test_only_what_is_known_and_common_makes_a_group(tmp_path):
    photo = LedgerRow("p.png", "", label=0, source="camera", sha256="A1")
    fake = LedgerRow("f.png", "lora", base_model="sd", sha256="b1")
    rows = [
        photo,
        replace(fake, path="0.png", instance=("a1", "a2"), seed=1),  # made from the photograph
        replace(fake, path="1.png", seed=1),  # from the same noise
        replace(fake, path="2.png", seed=1, base_model="other"),
        replace(fake, path="3.png", generator="sdxl", base_model="", seed=1),
        replace(fake, path="4.png", subject=" Ada "),
        replace(photo, path="5.png", subject="Ada", sha256=""),
        replace(photo, path="6.png", sha256=""),
        replace(photo, path="7.png", sha256="", subject="nan"),
    ]
    rows = [replace(row, sha256=row.sha256 if row == photo else "") for row in rows]
    assert read(rows, tmp_path).groups.tolist() == [0, 0, 0, 1, 2, 3, 3, 4, 5]
    # A table program may have written the seeds as 1.0.
    text = (tmp_path / "ledger.csv").read_text("utf-8").replace(",1,a1", ",1.0,a1")
    (tmp_path / "m.csv").write_text(text, "utf-8")
    assert read_ledger(tmp_path / "m.csv")[1].seed == 1
    assert load_images(tmp_path / "m.csv").groups.tolist() == [0, 0, 0, 1, 2, 3, 3, 4, 5]


def write_image(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)
    path.write_bytes(encode_image(pixels, "PNG"))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_with_ledgers_in_it_is_grouped_too(tmp_path):
    for i in range(2):
        write_image(tmp_path / f"real/camera/{i}.png", i)
        write_image(tmp_path / f"generated/lora/a/{i}.png", 10 + i)
        write_image(tmp_path / f"generated/gan/{i}.png", 20 + i)
    ledger = Ledger(tmp_path / "generated/lora")
    ledger.append(LedgerRow(f"a/{i}.png", "sd", subject="Ada", seed=i) for i in range(2))
    found = load_images(tmp_path)
    assert found.origin.tolist() == ["camera", "camera", "gan", "gan", "lora", "lora"]
    assert found.metadata["subject"].tolist() == ["", "", "", "", "Ada", "Ada"]
    assert found.groups.tolist() == [0, 1, 2, 3, 4, 4]
    assert not str(found.passed_over)
    ledger.path.unlink()
    assert "subject" not in load_images(tmp_path).metadata


def test_an_aligned_copy_keeps_a_photograph_with_what_was_made_from_it(tmp_path):
    photo = write_image(tmp_path / "p.png", 0)
    write_image(tmp_path / "q.png", 1)
    write_image(tmp_path / "f.png", 2)
    Ledger(tmp_path).append(
        [
            LedgerRow("p.png", "", label=0),
            LedgerRow("q.png", "", label=0),
            LedgerRow("f.png", "lora", instance=(photo,)),
        ]
    )
    found = load_images(tmp_path / "ledger.csv")
    copy = Path(tmp_path / "copy")
    align(found.data, found.target, copy, side=32, metadata=found.metadata)
    assert load_images(copy / "manifest.csv").groups.tolist() == [0, 1, 0]
    with (copy / "manifest.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.DictReader(file))["instance"] == photo
