"""Column names that say who a person is: such a column has no place in a table of labels.

Names are looked at, not values, and the pattern is broad, since a column can be renamed and a leak cannot be
undone. What describes a thing (`filename`, `hospital_name`) or a life (`age_at_first_birth`) does not count.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise


def _folded(text: str) -> str:
    bare = (each for each in unicodedata.normalize("NFKD", text) if unicodedata.category(each) != "Mn")
    plain = unicodedata.normalize("NFKC", "".join(bare)).casefold()
    return plain.translate({ord("ø"): "o", ord("ł"): "l", ord("ı"): "i", ord("'"): None, ord("’"): None})


def _fold(words: str) -> frozenset[str]:
    return frozenset(map(_folded, words.split()))


# With one of `_NAMES` and nothing else, these make a person's name: patient_name, nom de famille.
_PERSONS = _fold("""
    patient patients patiente pat pt person persons woman womans women subject subjects participant client
    mother mothers father relative partner spouse physician physicians doctor doctors dr radiologist operator
    operators reader technologist nurse referring performing requesting other
    paciente paziente patienten patientin pasient potilas pacjent pacjentka bolnoy
    пациент пациента пациентки больного المريض المريضة
    full whole complete first last middle maiden given family legal preferred former birth nick call
    famille familia completo completa complet di de du des del della la le el da do van of the s und et y i
    الكامل الأول
""")
_NAMES = _fold("""
    name names nom noms nome nomi nombre nombres naam naams navn namn nimi nazwa imie imiona jmeno meno nev
    nume isim имя имена імя ονομα اسم الاسم שם ชื่อ
""")

# Words that identify somebody wherever they appear in the name of a column.
_ALONE = _fold("""
    surname surnames lastname firstname forename forenames fullname givenname familyname middlename maidenname
    patientname patientsname patname initials initialen
    nachname vorname familienname geburtsname zuname rufname patientenname patientinnenname
    prenom prenoms apellido apellidos cognome cognomi sobrenome apelido voornaam achternaam familienaam
    fornavn efternavn etternavn fornamn efternamn sukunimi etunimi imie nazwisko prijmeni keresztnev
    vezeteknev soyad soyadi
    dob birthdate birthday birthdays birthyear birthplace bday yob gebdatum gebdat gebtag gebam
    ssn mrn nhsno nhsnumber pesel cpf curp dni nif bsn cpr personnummer personnr fodselsnummer aadhaar
    svnr svnummer sozialversicherungsnummer versicherungsnummer versichertennummer krankenkassennummer
    patientennummer patientennr patientenid patientnumber patientno patientid patid ptid passport
    accession accessionnumber medicalrecord
    address addresses adresse adressen anschrift adres adress indirizzo direccion endereco domicilio
    street strasse wohnort zip zipcode postcode postalcode plz
    phone phones telephone telefon telefono telefone tel phonenumber telefonnummer handynummer rufnummer fax
    email emails mail mailaddress 姓 名
""")

# When somebody was born; with one of `_LIFE` beside it, it is about a life: edad_primer_nacimiento.
_BORN = _fold("""
    geboren geburtsdatum geburtstag geburtsjahr geburtsort naissance nacimiento nascita nascimento
    geboortedatum geboorte geboortejaar fodselsdato fodselsdag fodelsedatum fodelsedag syntymaaika
    urodzenia narozeni szuletes szuletesi nasterii dogum
""")
_LIFE = _fold("""
    age alter edad eta idade leeftijd alder ika wiek vek eletkor yas first premier premiere primer primera
    primo prima primeiro primeira erste ersten eerste number nombre numero poids peso
""")

# Two words that identify somebody when side by side.
_PAIRS = {("patient", last) for last in ("name", "id", "ids", "no", "nr", "number", "code")} | {
    tuple(pair.split())
    for pair in (
        *("patients name", "patients id", "pat id", "pat nr", "pat no", "pt id", "hospital number"),
        *("chart number", "medical record", "social security", "national id", "national identity"),
        *("identity card", "id card", "health card", "nhs number", "nhs no", "codice fiscale"),
        *("insurance number", "insurance id", "insurance no", "postal code", "post code", "zip code"),
        *("codigo postal", "code postal", "cell phone", "mobile number", "mobile no", "e mail"),
    )
}

_BIRTH = re.compile(
    r"((patients?|pat|pt|womans?|persons?|subjects?|mothers?|date|day|year|month|place|time|town|city|country"
    r"|dt|of|the) )*birth( (date|day|year|month|place|time|town|city|country|dt|name|certificate|no|number|of"
    r"|patient|mother))*"
)

# In scripts whose words are not separated by spaces, or change their endings: a part of the name is enough.
_PARTS = _fold("""
    姓名 氏名 名字 名前 患者名 出生 生日 生年月日 誕生日 诞生 身份证 身分證 身份證 电话 電話 手机 手機 地址
    住所 住址 邮箱 邮编 病历号 病歷號 病案号 住院号 患者番号 患者id 保険証 社保号 医保号
    이름 성명 생년월일 생일 주민등록 전화 주소 환자번호
    фамил отчеств рожден рождени народжен прізвищ адрес телефон снилс паспорт полис
    الميلاد ميلاد العنوان عنوان هاتف الهاتف اللقب الهوية
    לידה כתובת טלפון משפחה תעודתזהות
    επωνυμο γεννησ διευθυνσ τηλεφων αμκα जन्म पता फोन นามสกุล วันเกิด ที่อยู่ โทรศัพท์
""")


def identifies_people(column: str) -> bool:
    """Return whether the name of a column suggests that its values say who somebody is."""
    words = _words(column)
    return (
        (bool(_NAMES & set(words)) and set(words) <= _NAMES | _PERSONS)
        or bool(_ALONE & {*words, "".join(words)})
        or bool(_PAIRS & set(pairwise(words)))
        or (bool(_BORN & set(words)) and not _LIFE & set(words))
        or _BIRTH.fullmatch(" ".join(words)) is not None
        or any(part in "".join(words) for part in _PARTS)
    )


def _words(column: str) -> list[str]:
    """Return the words of a name, in lower case without accents: `PatientName` has two, `DOB` one."""
    humps = r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
    plain = unicodedata.normalize("NFKC", column).replace("IDs", "Ids")
    parted = _folded(re.sub(humps, " ", plain))
    return [word for word in re.split(r"[\s\d_!-/:-@\[-`{-~·–—。，、（）]+", parted) if word]
