"""A file that is not UTF-8 is read as cp1252 if it looks like Western European text; else it stops the step.

A declared encoding decides, and what it cannot decode is named.
"""

import re

import pytest

from lib.contract import Column, Source, read_source
from lib.errors import PipelineError
from lib.ingest.header import read_header
from lib.ingest.reader import read_batches
from lib.ingest.western import judge

WESTERN = {
    "German": "Jürgen Müller,Köln,Straße 5½,GROẞE".replace("ẞ", "SS") + ",Größe 4²,Käßmann",
    "French": "François Lefèvre,Orléans,L’Haÿ-les-Roses,l’été,Noël,cœur,Île d'Yeu,19,50 €",
    "Spanish": "Begoña Ibáñez,A Coruña,¿Quién?,Nº 5,Mª José,Güell,Núria Açò",
    "Portuguese": "João Conceição,São Paulo,Antônio Guimarães,Évora,Assunções",
    "Italian": "Niccolò,Forlì,Cantù,perché,È così",
    "Swedish": "Åsa Söderström,Malmö,Göteborg,Linnéa",
    "Danish": "Søren Kjærgård,Ærøskøbing,Århus,Ø",
    "Finnish": "Hämäläinen,Jyväskylä,Pääskynen,Töölö",
    "Estonian": "Jõgeva,Õismäe,Küüts,Jäääär,Šmidt",
    "Icelandic": "Sæþór Guðmundsson,Þórður,Ísafjörður,Ægir,Mýrdalsjökull",
    "signs": "50 m²,20 °C,5×3 cm,Inox®,Cola™,„Haus“ – «Maison»…,25 µm,§ 5,10–12 St.,A–Z,Müller–Lüdenscheid",
}
FOREIGN = {
    "cp1251": "Иван Петров,Москва,Анна Смирнова",
    "koi8_r": "Иван Петров,Москва,Анна Смирнова",
    "cp866": "Иван Петров,Москва,Анна Смирнова",
    "cp1250": "Paweł Wiśniewski,Łódź,Grażyna Kozłowska,Jan Wójcik",
    "iso8859_2": "Jiří Dvořák,Tomáš Černý,Růžena Němcová,Plzeň",
    "cp1253": "Γιάννης Παπαδόπουλος,Αθήνα",
    "cp1255": "משה כהן,ירושלים",
    "shift_jis": "田中太郎,東京都,スズキ",
    "gbk": "张伟,王芳,北京市",
    "euc_kr": "김철수,이영희,서울특별시",
    "mac_roman": "Jürgen Müller,Köln,Bärbel Groß,Düsseldorf",
    "cp850": "Jürgen Müller,Köln,Bärbel Groß,Düsseldorf",
}
NOT_PROPOSED = ("koi8_r", "iso8859_2", "cp1255")  # so few words may also be in another encoding


def people(encoding=""):
    return Source("people", (Column("id", "text"), Column("name", "text")), encoding=encoding)


def deliver(path, texts, encoding):
    """Write a file with an id and a name in each line."""
    lines = ["id,name", *(f"{number},{text}" for number, text in enumerate(texts, start=1))]
    path.write_bytes("\n".join([*lines, ""]).encode(encoding))
    return path


def names_in(path, header):
    return [name for batch in read_batches(path, header) for name in batch.rows["name"].to_pylist()]


@pytest.mark.parametrize("language", WESTERN)
def test_western_european_text_in_cp1252_is_read_and_two_values_are_shown(tmp_path, language):
    texts = WESTERN[language].split(",")
    path = deliver(tmp_path / "a.csv", texts, "cp1252")
    header = read_header(path, people())
    assert names_in(path, header) == texts
    [note] = header.notes
    shown = re.findall("'([^']+)'", note.replace("L'", ""))
    assert note.startswith("read as cp1252") and "data/contract/people.yaml" in note and "UTF-8" in note
    assert len(shown) == 2 and not any(text.isascii() for text in shown)


def test_one_value_never_stops(tmp_path):
    for text in ("Müller", "Sæþór", "Pawe³"):
        path = deliver(tmp_path / "a.csv", [text], "cp1252")
        assert names_in(path, read_header(path, people())) == [text]


def test_turkish_is_read_as_cp1252_and_shows_values_that_look_wrong(tmp_path):
    path = deliver(tmp_path / "a.csv", ["Özgür Çağlar", "Ömer", "Ünal", "Ayşe Yıldız", "İzmir"], "cp1254")
    assert "Özgür Çaðlar' and 'Ayþe Yýldýz' now" in read_header(path, people()).notes[0]


@pytest.mark.parametrize("encoding", FOREIGN)
def test_text_that_does_not_look_western_stops_and_shows_how_it_would_read(tmp_path, encoding):
    texts = FOREIGN[encoding].split(",")
    path = deliver(tmp_path / "people.csv", texts, encoding)
    wrong = texts[0].encode(encoding).decode("cp1252", "replace")
    with pytest.raises(PipelineError, match=r"people\.csv is not UTF-8 \(byte \d+, line 2\)") as refused:
        read_header(path, people())
    message = str(refused.value)
    assert repr(wrong) in message and "` in data/contract/people.yaml (see docs" in message
    if encoding not in NOT_PROPOSED:
        assert repr(texts[0]) in message  # as it reads in the encoding that is proposed
    assert names_in(path, read_header(path, people(encoding))) == texts


def test_a_few_odd_words_stop_no_large_file():
    assert judge([",".join([*(f"Müller{chr(97 + n % 26) * (n // 26 + 1)}" for n in range(40)),
                            "Pawe³", "Dvoøák"]).encode("cp1252")]).is_western


def test_a_byte_that_the_declared_encoding_does_not_have_is_named(tmp_path):
    path = tmp_path / "people.csv"
    path.write_bytes("id,name\n1,Иван\n".encode("cp1251") + b"2,\x98\n")
    with pytest.raises(PipelineError, match=r"people\.csv, line 3: byte 17 is not cp1251, which data/con"):
        read_header(path, people("cp1251"))


@pytest.mark.parametrize(("content", "encoding", "notes"), [
    ("id,name\n1,Иван\n".encode(), "utf-8", 1),
    (b"id,name\n1,Ivan\n", "utf-8", 0),
    ("id,name\n1,Иван\n".encode("utf-16"), "utf-16", 1),
    ("id,name\n1,Иван\n".encode("cp1251"), "cp1251", 0),
], ids=["UTF-8", "ASCII", "UTF-16", "as declared"])
def test_what_is_certainly_unicode_is_read_so_whatever_is_declared(tmp_path, content, encoding, notes):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    header = read_header(path, people("cp1251"))
    assert (header.encoding, len(header.notes)) == (encoding, notes)
    assert names_in(path, header) == ["Ivan" if content.isascii() else "Иван"]


def test_a_damaged_utf8_file_is_not_read_in_the_declared_encoding(tmp_path):
    path = tmp_path / "people.csv"
    path.write_bytes("id,name\n1,Иван Петров\n".encode() + b"2,\xd0\n")
    with pytest.raises(PipelineError, match=r"people\.csv, line 3: .*UTF-8 except for byte"):
        read_header(path, people("cp1251"))


@pytest.mark.parametrize("encoding", ["cp1525", "base64"])
def test_an_encoding_that_does_not_exist_is_named_with_its_line(tmp_path, encoding):
    path = tmp_path / "people.yaml"
    path.write_text(f"fields:\n  - name: id\n    constraints: {{required: true}}\nencoding: {encoding}\n")
    with pytest.raises(PipelineError, match=rf"people\.yaml, line 4: .*'{encoding}'"):
        read_source(path)
