"""Names in one case become what a person would write, and a code has one spelling."""

import json
import re
import types
from unicodedata import normalize

import pandas as pd
import pytest
from conftest import PRODUCTS, PROJECT, Shop
from hypothesis import given
from hypothesis import strategies as st


def functions_of(notebook: str) -> types.SimpleNamespace:
    """Return the functions that a notebook defines, without its step."""
    names: dict = {}
    for cell in json.loads((PROJECT / "notebooks" / notebook).read_text(encoding="utf-8"))["cells"]:
        code = "".join(cell["source"]).partition("step = open_step")[0]
        if cell["cell_type"] == "code" and re.search("^(def|from lib)", code, re.MULTILINE):
            exec(code, names)
    return types.SimpleNamespace(**names)


DIMENSIONS = functions_of("2_dimensions.ipynb")
# Letters and signs that careless code breaks, and the Turkish ones, whose case depends on the language.
ODD = "aAbBdDoOmMcCxXvViIßẞ’'- .3stndǆǅǄ\u0301\u0307ÉéΣσςﬁ"
TURKISH = "İıĞğ"
texts = st.one_of(st.text(), st.text(st.sampled_from(ODD)))


@pytest.mark.parametrize(("delivered", "clean"), {
    "ANNA": "Anna", "bob": "Bob", "McDonald": "McDonald", "van der Berg": "van der Berg", "ÉMILE": "Émile",
    "北京": "北京", "NA": "Na", "ST. JOHN'S": "St. John's", "3RD AVENUE": "3rd Avenue", "1ST": "1st",
    "FLAT 12B": "Flat 12B", "III": "III", "LOUIS XIV": "Louis XIV", "XI": "Xi", "DIX": "Dix",
    "MCDONALD": "McDonald", "MACDONALD": "Macdonald", "MACEDO": "Macedo", "MC": "Mc", "O'HARA": "O'Hara",
    "O’HARA": "O’Hara", "D'ANGELO": "D'Angelo", "L'ÎLE": "L'Île", "DELL'ACQUA": "Dell'Acqua",
    "XI'AN": "Xi'an", "FISHERMAN'S WHARF": "Fisherman's Wharf", "COEUR D'ALENE": "Coeur d'Alene",
    "'S-HERTOGENBOSCH": "'s-Hertogenbosch", "JEAN-LUC": "Jean-Luc", "STOKE-ON-TRENT": "Stoke-on-Trent",
    "SMITH JR.": "Smith Jr.", "J.R.R.": "J.R.R.", "DE LA CRUZ": "De la Cruz", "VAN DER BERG": "Van der Berg",
    "VAN DER BERG III": "Van der Berg III", "RIO DE JANEIRO": "Rio de Janeiro", "MAI LE": "Mai Le",
    "NORTH LAS VEGAS": "North Las Vegas", "WEST DES MOINES": "West Des Moines",
    "SAINT-MAUR-DES-FOSSÉS": "Saint-Maur-des-Fossés", "STRASSE": "Strasse", "WEIß": "Weiß", "WEIẞ": "Weiß",
    "ßa": "ßa", "İSTANBUL": "İstanbul", "DİYARBAKIR": "Diyarbakır", "IĞDIR": "Iğdır", "ISPARTA": "Isparta",
    "ǆEMAL".upper(): "ǅemal", "ǆ": "ǅ", "ANDRE\u0301S": "Andrés", "ΝΙΚΟΣ": "Νικος", "გიორგი": "გიორგი",
}.items())
def test_a_name_in_one_case_becomes_what_a_person_would_write(delivered: str, clean: str):
    assert DIMENSIONS.title_case(delivered) == clean


@given(st.one_of(texts, st.text(st.sampled_from(ODD + TURKISH))))
def test_a_name_that_is_clean_stays(text: str):
    clean = DIMENSIONS.title_case(text)
    assert DIMENSIONS.title_case(clean) == clean


@pytest.mark.parametrize(("spellings", "clean"), [
    (["Electronics", "electronics", "ELECTRONICS"], "Electronics"),
    (["Office Supplies", "office  supplies", "OFFICE\u00a0SUPPLIES", " Office\u2003Supplies\n"],
     "Office Supplies"),
    (["USB-Kabel", "usb-kabel", "Usb-kabel"], "USB-Kabel"), (["tv & video", "TV & VIDEO"], "TV & Video"),
    (["bmw", "BMW"], "BMW"), (["Dr. Oetker", "DR. OETKER"], "Dr. Oetker"), (["ipad", "IPAD"], "iPad"),
    (["Süßwaren", "süßwaren", "SÜẞWAREN"], "Süßwaren"), (["DİJİTAL", "Dijital"], "Dijital"),
    (["Café", "cafe\u0301"], "Café"), (["l'oréal", "L'ORÉAL"], "L'Oréal")])
def test_spellings_of_a_code_are_one_value(spellings: list[str], clean: str):
    assert {DIMENSIONS.one_spelling(text) for text in spellings} == {clean}


@given(texts)
def test_the_spelling_of_a_code_depends_on_nothing_but_its_letters(text: str):
    whole = normalize("NFC", text)  # a Turkish I with its dot as a sign of its own is one letter, too
    if whole.upper().lower() == whole.lower() and whole.lower().upper() == whole.upper():
        variants = [text, text.upper(), text.lower(), f" {text}\u00a0"]
        assert len({DIMENSIONS.one_spelling(variant) for variant in variants}) == 1
    clean = DIMENSIONS.one_spelling(text)
    assert DIMENSIONS.one_spelling(clean) == clean


@pytest.mark.parametrize(("delivered", "clean"), {
    "sp": "SP", "Sp": "SP", "usa": "USA", "Usa": "USA", "us-ca": "US-CA", "Goa": "Goa", "goa": "GOA",
    "GOA": "GOA", "BRAZIL": "Brazil", "Brazil": "Brazil", "new  york": "New York",
    "Baden-Württemberg": "Baden-Württemberg", "NA": "NA", "北京": "北京"}.items())
def test_a_state_or_country_is_a_code_or_a_name(delivered: str, clean: str):
    assert DIMENSIONS.code_or_name(delivered) == clean


def test_a_column_is_cleaned_where_it_has_values():
    rows = pd.DataFrame([dict.fromkeys(PRODUCTS.split(",")), {"brand": "ACME"}], dtype="str")
    assert DIMENSIONS.clean_products(rows)["brand"].fillna("").tolist() == ["", "Acme"]
    assert DIMENSIONS.clean_products(rows[:0])["brand"].dtype == "str"


def test_sales_are_counted_for_one_spelling_of_a_category(small: Shop, run):
    small.deliver("products_2.csv", PRODUCTS, "P1,Cup,KITCHEN,mugs,acme  ltd,2.00,",
                  "P2,Pan,kitchen,Mugs,ACME LTD,10.00,")
    assert run().warnings() == []
    assert small.query("gold", "select category, sub_category, brand, sum(net_amount) "
                               "from reporting_sales_wide group by 1, 2, 3") == [
        ("Kitchen", "Mugs", "Acme Ltd", 24.0)]
