#!/usr/bin/env python3
# Makes the fonts of aggregator/paper/fonts out of Debian's. They are kept in the repository; this says how they came.
#
#   apt-get install --no-install-recommends python3-fonttools fonts-noto-cjk fonts-noto-core
#   /usr/bin/python3 scripts/paper-fonts.py
#
# Made with fonttools 4.38, fonts-noto-cjk 1:20220127+repack1-1 and fonts-noto-core 20201225-1 of Debian 12. The same
# packages give the same bytes. Nothing of a font is kept but outlines, widths and names: texts are set character by
# character, so no tables for shaping are needed.

import os
import re
import sys

from fontTools import subset

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "aggregator", "paper", "fonts")
CJK = "/usr/share/fonts/opentype/noto/NotoSansCJK-{}.ttc"
LATIN = "/usr/share/fonts/truetype/noto/NotoSans-{}.ttf"
# Simplified Chinese in the collection.
SC = 2

# Latin with all its letters for Europe, Turkey, Africa and Viet Nam, marks, Greek, Cyrillic, punctuation, currencies.
WESTERN = [(0x20, 0x250), (0x300, 0x530), (0x1E00, 0x2000), (0x2010, 0x2060), (0x20A0, 0x20D0), (0x2100, 0x2150),
           (0x2190, 0x2300), (0xFFFD, 0xFFFE)]
# Punctuation, arrows, signs, circled numbers, boxes, kana, full-width forms.
SIGNS = [(0xB7, 0xB8), (0x2010, 0x2050), (0x2100, 0x2150), (0x2190, 0x2300), (0x2460, 0x2600), (0x3000, 0x3130),
         (0x31F0, 0x3200), (0x3220, 0x3400), (0xFE30, 0xFE50), (0xFF00, 0xFFF0)]
# The CJK Unified Ideographs, and what Noto has beyond the basic plane: all of it that is in names.
IDEOGRAPHS = [(0x4E00, 0xA000), (0x20000, 0x32000)]
# Those of Extension A that the Table of General Standard Chinese Characters (2013) has.
GENERAL_STANDARD_A = (
    "㑇㑊㕮㘎㙍㙘㙦㛃㛚㛹㟃㠇㠓㤘㥄㧐㧑㧟㫰㬊㬎㬚㭎㭕㮾㰀㳇㳘㳚㴔㵐㶲㸆㸌㺄㻬㽏㿠"
    "䁖䂮䃅䃎䅟䌹䎃䎖䏝䏡䏲䐃䓖䓛䓨䓫䓬䗖䗛䗪䗴䜣䝙䢺䢼䣘䥽䦃䲟䲠䲢䴓䴔䴕䴖䴗䴘䴙䶮"
)


def characters(ranges):
    return {c for first, end in ranges for c in range(first, end)}


def gb2312():
    """The 6,763 ideographs of GB 2312: what nearly every name is written with."""
    found = set()
    for high in range(0xB0, 0xF8):
        for low in range(0xA1, 0xFF):
            try:
                found.add(ord(bytes([high, low]).decode("gb2312")))
            except UnicodeDecodeError:
                pass
    return found


def cut(source, index, wanted, name):
    options = subset.Options()
    options.font_number = index
    options.layout_features = []
    options.hinting = False
    options.notdef_outline = True
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.drop_tables += ["vhea", "vmtx", "VORG", "BASE", "DSIG", "GSUB", "GPOS", "GDEF", "STAT"]
    font = subset.load_font(source, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=wanted)
    subsetter.subset(font)
    path = os.path.join(OUT, name)
    subset.save_font(font, path, options)
    print(f"{name}: {font['maxp'].numGlyphs} glyphs, {os.path.getsize(path)} bytes")


def main():
    if len(sys.argv) > 1:
        sys.exit("paper-fonts.py takes no arguments")
    os.makedirs(OUT, exist_ok=True)
    general = {ord(c) for c in re.sub(r"\s", "", GENERAL_STANDARD_A)}
    cjk = characters(SIGNS)
    cut(CJK.format("Regular"), SC, cjk | characters(IDEOGRAPHS) | general, "cjk-regular.otf")
    cut(CJK.format("Bold"), SC, cjk | gb2312(), "cjk-bold.otf")
    cut(LATIN.format("Regular"), -1, characters(WESTERN), "latin-regular.ttf")
    cut(LATIN.format("Bold"), -1, characters(WESTERN), "latin-bold.ttf")


main()
