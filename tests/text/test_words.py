"""Both languages have the same words; the one that is used is the locale's, or that of Windows' menus."""

import re
import sys
from types import SimpleNamespace

import pytest

from micrograd_cn.text.words import WORDS, language


def test_both_languages_have_the_same_words_with_the_same_gaps():
    english, chinese = WORDS["en"], WORDS["zh"]
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert set(re.findall(r"{[^}]+}", text)) == set(re.findall(r"{[^}]+}", chinese[key])), key


@pytest.mark.parametrize(("menus", "chosen"), [(0x0804, "zh"), (0x0404, "zh"), (0x1004, "zh"), (0x0409, "en")])
def test_windows_chooses_the_language_where_no_locale_does(monkeypatch, menus, chosen):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert language(None) == "en"  # not Windows
    kernel = SimpleNamespace(GetUserDefaultUILanguage=lambda: menus)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr("ctypes.windll", SimpleNamespace(kernel32=kernel), raising=False)
    assert language(None) == chosen
    monkeypatch.setenv("LANG", "en_GB.UTF-8")  # as in a shell that came with one
    assert language(None) == "en"
    monkeypatch.setenv("LC_ALL", "zh_TW.UTF-8")
    assert language(None) == "zh"
