"""`course preprocess` and `course pseudonymise`: pictures, and tables that fit them, without a network."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from course_utils.cli.errors import UsageError
from course_utils.cli.inputs import check_folder, find_files, preprocessor_for
from course_utils.cli.printing import counted, printable
from course_utils.cli.stopping import stops_at_once
from course_utils.files import as_text, display_path, write_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from course_utils.records import Told


def preprocess(arguments: argparse.Namespace) -> int:
    """Write what a network would get to see of each file."""
    for option, folder in (("-o", arguments.output), ("--cache", arguments.cache)):
        check_folder(option, folder)
    with stops_at_once():
        from course_utils.imaging.export import export, would_overwrite
        from course_utils.imaging.keys import key_of

    found, names = find_files(arguments.input, (arguments.output, arguments.cache))
    files = [file for file in found if isinstance(file, Path)]  # all: its parser takes no address
    if not files:
        print("course preprocess: nothing in the input is DICOM or a picture", file=sys.stderr)
        return 1
    if would_overwrite(files, names, arguments.output, arguments.format):
        raise UsageError("-o: a picture would take the place of one of the input: choose another folder")
    preprocessor = preprocessor_for(arguments)
    key = key_of(arguments.cache)
    counts = export(
        files,
        names,
        arguments.output,
        preprocessor,
        form=arguments.format,
        mask=arguments.mask,
        told=told_of(arguments.table, names, key),
        key=key,
        workers=arguments.workers,
    )
    where = display_path(arguments.output)
    print(f"{counted(counts['found'], 'file')}: {counts['written']} written, {counts['failed']} failed")
    print(f"pictures, pictures.csv, failures.csv and run.json are in {where}")
    return 0 if counts["written"] else 1


def told_of(table: Path | None, names: Sequence[str], key: bytes | None) -> list[Told] | None:
    """Return what the table of `--table` says of each file, and say how many it knows; None without one."""
    if table is None:
        return None
    from course_utils.cli.told import read_told
    from course_utils.records import Told
    from course_utils.runs import LabelsError

    try:
        told = read_told(table, names, key)
    except LabelsError as error:
        raise UsageError(f"--table: {error}") from error
    known = sum(each != Told() for each in told)
    print(f"table: it says something of {known} of {counted(len(names), 'file')}")
    return told


def pseudonymise(arguments: argparse.Namespace) -> int:
    """Write a table with the pseudonyms of a store in place of patients' numbers."""
    from course_utils.imaging.identity import patient_key
    from course_utils.imaging.keys import key_of
    from course_utils.runs import LabelsError
    from course_utils.runs.identifying import identifies_people
    from course_utils.runs.tables import read_text_table

    check_folder("-o", arguments.output.absolute().parent)
    check_folder("--cache", arguments.cache)
    try:
        table = read_text_table(arguments.table)
    except LabelsError as error:
        raise UsageError(str(error)) from error
    if arguments.output.is_dir():
        raise UsageError(f"-o: {display_path(arguments.output)} is a folder, and a file is needed")
    if arguments.output.exists() and arguments.output.samefile(arguments.table):
        raise UsageError("-o: this is the table itself, whose numbers would be lost: choose another name")
    for option, column in (("--id", arguments.id), ("--issuer", arguments.issuer)):
        if column is not None and column not in table:
            there = ", ".join(as_text(str(name)) for name in table)
            raise UsageError(f"{option}: there is no such column; there are {there}")
    others = [str(name) for name in table if name not in (arguments.id, arguments.issuer)]
    left_out = [name for name in others if identifies_people(name)]
    kept = [name for name in others if name not in left_out]
    if "patient_key" in kept:
        raise UsageError("the table has a column patient_key already: rename or remove it")
    key = key_of(arguments.cache)
    issuers = table[arguments.issuer] if arguments.issuer is not None else [None] * len(table)
    keys = [
        patient_key(number, key, issuer) if number and number.strip() else ""
        for number, issuer in zip(table[arguments.id], issuers, strict=True)
    ]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["patient_key", *kept])
    writer.writerows(
        [one, *(row or "" for row in rest)] for one, rest in zip(keys, table[kept].values, strict=True)
    )
    arguments.output.absolute().parent.mkdir(parents=True, exist_ok=True)
    write_atomic(arguments.output, out.getvalue().encode())
    women = len(set(keys) - {""})
    print(f"{counted(len(table), 'row')} of {counted(women, 'patient')} in {display_path(arguments.output)}")
    if blank := keys.count(""):
        has = "has no number, and so no pseudonym" if blank == 1 else "have no number, and so no pseudonym"
        print(f"{counted(blank, 'row')} {has}")
    if left_out:
        names = printable(", ".join(map(as_text, left_out)))
        print(f"Left out, since they look as if they identified people: {names}")
    print("Names of columns were looked at, and no value: look through the table before you pass it on.")
    return 0
