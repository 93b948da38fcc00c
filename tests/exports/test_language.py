"""Languages of real sentences, and when it is better not to be sure."""

import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from exports import language
from exports.language import identify

SENTENCES = {
    "en": "The library opens at nine and closes when the last reader has gone home.",
    "de": "Die Bibliothek öffnet um neun und schließt, wenn der letzte Leser gegangen ist.",
    "fr": "La bibliothèque ouvre à neuf heures et ferme quand le dernier lecteur est parti.",
    "es": "La biblioteca abre a las nueve y cierra cuando se ha ido el último lector.",
    "it": "La biblioteca apre alle nove e chiude quando l'ultimo lettore se n'è andato.",
    "pt": "A biblioteca abre às nove e fecha quando o último leitor vai para casa.",
    "nl": "De bibliotheek gaat om negen uur open en sluit als de laatste lezer weg is.",
    "pl": "Biblioteka otwiera się o dziewiątej i zamyka, gdy wyjdzie ostatni czytelnik.",
    "sv": "Biblioteket öppnar klockan nio och stänger när den sista läsaren har gått hem.",
    "cs": "Knihovna otevírá v devět hodin a zavírá, když odejde poslední čtenář.",
    "fi": "Kirjasto avataan yhdeksältä ja suljetaan, kun viimeinen lukija on lähtenyt.",
    "hu": "A könyvtár kilenckor nyit, és akkor zár, amikor az utolsó olvasó hazament.",
    "tr": "Kütüphane saat dokuzda açılır ve son okuyucu eve gittiğinde kapanır.",
    "vi": "Thư viện mở cửa lúc chín giờ và đóng cửa khi người đọc cuối cùng ra về.",
    "ru": "Библиотека открывается в девять и закрывается, когда уходит последний читатель.",
    "uk": "Бібліотека відчиняється о дев'ятій і зачиняється, коли піде останній читач.",
    "el": "Η βιβλιοθήκη ανοίγει στις εννέα και κλείνει όταν φύγει ο τελευταίος αναγνώστης.",
    "ar": "تفتح المكتبة في الساعة التاسعة وتغلق عندما يغادر آخر قارئ إلى بيته.",
    "he": "הספרייה נפתחת בתשע ונסגרת כאשר הקורא האחרון הולך הביתה.",
    "hi": "पुस्तकालय नौ बजे खुलता है और तब बंद होता है जब आख़िरी पाठक घर चला जाता है।",
    "th": "ห้องสมุดเปิดเก้าโมงเช้าและปิดเมื่อผู้อ่านคนสุดท้ายกลับบ้านแล้ว",
    "zh": "图书馆九点开门，最后一位读者回家之后才关门。",
    "ja": "図書館は九時に開き、最後の読者が帰ると閉まります。",
    "ko": "도서관은 아홉 시에 문을 열고 마지막 독자가 돌아가면 문을 닫습니다.",
}


def test_sentences():
    assert dict(zip(SENTENCES, identify(list(SENTENCES.values())), strict=True)) == {
        code: code for code in SENTENCES
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ok",
        "Yes.",
        "42",
        "1 + 2 = 3, 4 + 5 = 9",
        "!!!???",
        "🙂🙂🙂",
        "https://example.org/the/library/opens/at/nine",
        "`the library opens at nine`",
        "def f(x): return x + 1",
        "SELECT * FROM t WHERE id = 3;",
        "for i in range(10):\n    print(i)\n",
        "asdf jkl qwer zxcv uiop",
    ],
)
def test_not_sure(text):
    assert identify([text]) == [""]


def test_short_but_clear():
    assert identify(
        ["What is the capital of France?", "今天天气很好", "Wie geht es dir heute?"]
    ) == [
        "en",
        "zh",
        "de",
    ]


def test_capitals_and_long_texts():
    assert identify([SENTENCES["de"].upper()]) == ["de"]
    assert identify([SENTENCES["en"] * 3 + SENTENCES["ru"] * 500]) == ["en"]


def test_in_any_company_the_same():
    texts = [*SENTENCES.values(), "", "ok", "x" * 1000, "\ud800 lone"] * 30
    assert identify(texts) == [identify([text])[0] for text in texts]
    assert identify([]) == []


def test_scores_are_those_of_py3langid():
    original = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    texts = [*SENTENCES.values(), *(text[:12] for text in SENTENCES.values())]
    for text, (code, sure) in zip(
        texts, language._scored([text.encode() for text in texts]), strict=True
    ):
        expected, confidence = original.classify(text)
        assert sure == pytest.approx(confidence, abs=0.01)
        assert code == expected or confidence < 0.3
