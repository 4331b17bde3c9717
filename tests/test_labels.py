"""A table of labels: what it may say, which row is which image's, and what is said of it."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_runs import PNG, RECORD

from course_utils import cli
from course_utils.records import Entry, Facts
from course_utils.report import write_report
from course_utils.runs import LabelsError, RunFolder, match_labels, read_clusters, read_labels
from course_utils.runs.identifying import identifies_people

N = 12
FILES = [f"{number}.dcm" for number in range(N)]
IMAGES = pd.DataFrame({"file": FILES, "sha256": [f"{number:064x}" for number in range(N)]})


@pytest.fixture
def table(tmp_path):
    def write(text: str, name: str = "labels.csv") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
        return tmp_path / name

    return write


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of twelve images in two groups."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with RunFolder("out", 6) as folder:
        for number, file in enumerate(FILES):
            facts = Facts(f"img-{number}", f"{number:064x}", f"pat-{number // 2}", "CC", "L", "window", ())
            vector = rng.standard_normal(6) + 9 * (number % 2)
            folder.add(file, Entry(facts, PNG, vector.astype(np.float32)))
        folder.finish(RECORD)
    return Path("out")


def labelled(run: Path, *columns: str, values: list[list[str]]) -> Path:
    """Write a table with these columns, a list of values per image."""
    rows = pd.DataFrame(values, columns=list(columns)).assign(file=FILES)
    rows.to_csv("labels.csv", index=False)
    return Path("labels.csv")


def test_a_row_with_a_patient_key_is_about_all_her_images(table):
    images = pd.DataFrame({"file": ["a", "b", "c", "d"], "sha256": list("abcd")}).assign(
        patient_key=["pat-1", "pat-1", "pat-2", None]
    )
    found = match_labels(read_labels(table("patient_key,age\npat-1,50\n,60\npat-3,70\n")), images)
    assert found.columns["age"].tolist() == ["50", "50", None, None]
    assert (found.matched, found.unused) == (2, 2)
    with pytest.raises(LabelsError, match="contradict"):
        match_labels(read_labels(table("patient_key,age\npat-1,50\npat-1,51\n")), images)


def test_values_stay_what_they_are_and_only_an_empty_cell_is_missing(table):
    odd = ["None", "NA", "nan", "NULL", "01", "1", "1.0", "1e3", "True", " x ", "-", ""]
    rows = "".join(f'"{file}","{value}"\n' for file, value in zip(FILES, odd, strict=True))
    found = match_labels(read_labels(table(f"file,site\n{rows}")), IMAGES).columns["site"]
    assert found.tolist() == [*odd[:-1], None]


@pytest.mark.parametrize("sites", [["01", "1"], ["None", "NA"], ["true", "True"], ["1", "1.0"]])
def test_values_that_look_alike_are_two_values_from_the_table_to_the_report(run, sites, capsys):
    labels = labelled(run, "site", values=[[sites[number % 2]] for number in range(N)])
    assert cli.main(["cluster", "out", "-k", "2", "--labels", str(labels)]) == 0
    levels = json.loads(Path("out/clusters.json").read_text(encoding="utf-8"))["evaluation"]["associations"]
    assert {one["column"]: one["levels"] for one in levels}["site"] == dict.fromkeys(sites, 6)
    assert set(read_clusters(run).table["site"]) == set(sites)
    page = write_report(run).read_text(encoding="utf-8")
    assert all(f"{site} 6" in page for site in sites)
    assert "not stated" not in page.split("coloured by site", 1)[1].split('"', 1)[0]


def test_rows_that_contradict_one_another_are_refused_and_equal_ones_are_not(table):
    same = "file,site,age\n0.dcm,x,1\n0.dcm,x,1\n1.dcm,y,\n1.dcm,,2\n"
    matched = match_labels(read_labels(table(same)), IMAGES)
    assert matched.columns.head(2).to_numpy().tolist() == [["x", "1"], ["y", "2"]]
    assert (matched.matched, matched.unused) == (2, 0)
    with pytest.raises(LabelsError, match=r"contradict one another: age of 0\.dcm has several values"):
        match_labels(read_labels(table(same + "0.dcm,x,3\n")), IMAGES)
    by_sha = "sha256,site\n" + f"{0:064x},x\n{0:064X},y\n"
    with pytest.raises(LabelsError, match=r"site of sha256 000000000000… has several values"):
        match_labels(read_labels(table(by_sha)), IMAGES)


def test_contradictions_about_other_images_do_no_harm(table):
    text = "file,site\n0.dcm,x\nother.dcm,x\nother.dcm,y\n"
    assert match_labels(read_labels(table(text)), IMAGES).unused == 2


def test_a_checksum_in_capital_letters_is_the_same_checksum(table):
    images = pd.DataFrame({"file": ["a"], "sha256": ["ab" * 32]})
    text = f"sha256,site\n{'AB' * 32},x\n"
    assert match_labels(read_labels(table(text)), images).columns["site"].tolist() == ["x"]


def test_what_was_matched_and_what_is_not_compared_is_always_said(run, capsys):
    rows = "".join(f"{number}.dcm,{40 + number},CC,x\n" for number in range(9))
    more = "".join(f"other{number}.dcm,70,CC,x\n" for number in range(500))
    Path("labels.csv").write_text(f"file,age,view,site\n{rows}{more}", encoding="utf-8")
    assert cli.main(["cluster", "out", "-k", "2", "--labels", "labels.csv"]) == 0
    assert (
        "labels: 9 of 12 images matched, 500 rows unused; not compared: view (the run has it already), "
        "site (one value only)\n"
    ) in capsys.readouterr().out
    labels = labelled(run, "site", values=[["xy"[number % 2]] for number in range(N)])
    assert cli.main(["cluster", "out", "-k", "2", "--labels", str(labels)]) == 0
    assert "labels: 12 of 12 images matched, 0 rows unused\n" in capsys.readouterr().out


def test_a_table_that_only_names_the_images_is_matched_and_says_nothing(table):
    matched = match_labels(read_labels(table("file\n0.dcm\n1.dcm\n")), IMAGES)
    assert (matched.matched, matched.unused, matched.columns.shape) == (2, 0, (N, 0))
    assert matched.sentence({}) == "labels: 2 of 12 images matched, 0 rows unused"


ODD = ["5\" 'film'", '"', "$x^2$ & $", "$\\frac{$", "_hidden_", "x" * 6000, "左乳", "ثدي", "<b>x</b>"]


@pytest.mark.parametrize("value", ODD, ids=lambda value: ascii(value)[:12])
def test_no_value_or_column_breaks_the_report_or_vanishes_from_it(run, value):
    labels = labelled(run, f"c {value}", values=[[value] if number % 2 else ["b"] for number in range(N)])
    assert cli.main(["cluster", "out", "-k", "2", "--labels", str(labels)]) == 0
    assert cli.main(["report", "out"]) == 0
    page = Path("out/report.html").read_text(encoding="utf-8")
    shown = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = shown.replace('"', "&#34;").replace("'", "&#39;")
    assert f"{shown} 6" in page
    assert sum(f"coloured by c {shown[:1]}" in line for line in page.splitlines()) >= 1


def test_control_characters_reach_neither_terminal_nor_page(run, capsys):
    values = [["\x1b[2J\x07"] if number % 2 else ["b"] for number in range(N)]
    assert (
        cli.main(["cluster", "out", "-k", "2", "--labels", str(labelled(run, "\x1b[1m", values=values))]) == 0
    )
    assert cli.main(["report", "out"]) == 0
    assert not {"\x1b", "\x07"} & set(capsys.readouterr().out + Path("out/report.html").read_text("utf-8"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "labels.csv is not a comma-separated UTF-8 file"),
        ('file,site\n0.dcm,"x\n1.dcm,y\n', "labels.csv is not a comma-separated UTF-8 file"),
        ('file,site\n0.dcm,"x" y\n', "labels.csv is not a comma-separated UTF-8 file"),
        ("file,site\n\n0.dcm,x,y\n", "row 3 of labels.csv has more cells than there are columns"),
        ("file,site,site\n0.dcm,x,y\n", "two columns of labels.csv have the same name"),
        ("file;site\n0.dcm;x\n", "labels.csv needs a column sha256, file or patient_key"),
        ("file,Nachname\n0.dcm,x\n", "column Nachname looks as if it identifies people"),
    ],
)
def test_what_is_no_table_of_labels_gets_one_sentence(table, text, sentence):
    with pytest.raises(LabelsError) as refused:
        read_labels(table(text))
    assert str(refused.value).startswith(sentence)


def test_a_table_as_spreadsheets_write_it_is_read(table):
    text = "\ufefffile , site,,\r\n0.dcm,a b,,\r\n1.dcm\r\n\r\n"
    labels = read_labels(table(text))
    assert labels.columns.tolist() == ["file", "site"]
    assert labels.to_numpy().tolist() == [["0.dcm", "a b"], ["1.dcm", None]]
    indexed = read_labels(table(",file,site\n0,0.dcm,x\n"))
    assert indexed.columns.tolist() == ["column 1", "file", "site"]


def zipped(text: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("labels.csv", text)
    return data.getvalue()


@pytest.mark.parametrize(
    ("pack", "sentence"),
    [
        (gzip.compress, "is compressed: unpack it first"),
        (bz2.compress, "is compressed: unpack it first"),
        (lzma.compress, "is compressed: unpack it first"),
        (zipped, "is a spreadsheet or a ZIP archive"),
        (lambda text: gzip.compress(text)[:20], "is compressed: unpack it first"),
        (lambda text: zipped(text)[:20], "is a spreadsheet or a ZIP archive"),
        (lambda text: text.decode().encode("utf-16"), "is not a comma-separated UTF-8 file"),
    ],
)
@pytest.mark.parametrize("name", ["labels.csv", "labels.csv.gz", "labels.zip"])
def test_compressed_labels_get_one_sentence_whatever_they_are_called(run, pack, sentence, name, capsys):
    Path(name).write_bytes(pack(b"file,site\n0.dcm,x\n"))
    assert cli.main(["cluster", "out", "--labels", name]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"course cluster: --labels: {name} {sentence}")
    assert said.count("\n") == 1


IDENTITIES = """
    surname|Name|names|DOB|D.O.B.|SSN|Patientenname|geboren|geboren_am|Geburtsdatum|Nachname|Vorname
    PatientName|patient_name|patientname|patient's name|PatientID|Patient-ID|OtherPatientIDs|birth|birthdate
    DateOfBirth|Date of birth|PatientBirthDate|Year of Birth|PatientMotherBirthName|first_name|firstName
    LastName
    full_name|AccessionNumber|accession|address|Address1|PatientAddress|street|Straße|phone|Phone_Number|Telefon
    e-mail|MRN|medical record number|national_id|Social Security Number|nom|Nom de famille|prénom|Nombre
    apellidos
    fecha_de_nacimiento|date de naissance|data di nascita|Cognome|Data de Nascimento|achternaam|geboortedatum
    FØDSELSDATO|syntymäaika|imię|Nazwisko|data urodzenia|datum narození|Születési idő|Doğum tarihi|имя
    Имя пациента|Фамилия|Дата рождения|姓名|患者姓名|氏名|生年月日|出生日期|电话|이름|생년월일|الاسم
    اسم المريض
    تاريخ الميلاد|שם|תאריך לידה|Επώνυμο|Ημερομηνία γέννησης|ReferringPhysicianName|OperatorsName|zip_code
    Postcode|Código postal|initials|NHS number|DNI|Personnummer|ｎａｍｅ|name_1|subject name|姓
"""
NO_IDENTITIES = """
    age_at_first_birth|AgeAtFirstBirth|filename|file_name|fileName|hospital_name|InstitutionName|vendor_name
    ManufacturerModelName|site|site_name|device_name|births|number_of_births|birth_weight|year_of_first_birth
    study_date|sex|age|PatientAge|patient_key|patient_position|patient|woman|density|vendor|thickness_mm|label
    series_uid|StudyInstanceUID|phonetic|telescope|renamed|username|edad_primer_nacimiento|Dateiname|AD
    Krankenhausname|nom_hopital|имя_файла|文件名|医院名称|اسم الملف|view|BI-RADS|breast_id|case_id|subject_id
    lesion_number|menarche_age|family_history|first_degree_relatives|reader|full_field|patient_idx|sin_contraste
"""


def names_in(text: str) -> list[str]:
    return [name for line in text.strip().splitlines() for name in line.strip().split("|")]


@pytest.mark.parametrize("column", names_in(IDENTITIES))
def test_a_column_that_identifies_people_is_refused(column):
    assert identifies_people(column)


@pytest.mark.parametrize("column", names_in(NO_IDENTITIES))
def test_a_column_that_describes_a_thing_or_a_life_is_taken(column):
    assert not identifies_people(column)
