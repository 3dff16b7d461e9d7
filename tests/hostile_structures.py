"""Files of structured text, stored answers, paths and names in reports that try to be more than that."""

from __future__ import annotations

import json

__all__ = ["DESIGNS", "JOURNALS", "JSON", "QUESTIONS", "REPORTS", "SHOWN"]

_HEAD = '[[question]]\nformula = "y ~ x | z"\ndata = "../data.csv"\n'

QUESTIONS = (
    ("nothing", ""),
    ("no TOML", "#!/bin/sh\ntouch @S@\n"),
    ("a YAML tag that calls", "!!python/object/apply:os.system ['touch @S@']\n"),
    ("YAML's billion laughs", "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n"),
    ("lists 100000 deep", "question = " + "[" * 100_000 + "]" * 100_000),
    ("tables 20000 deep", "question = " + "{a=" * 20_000 + "1" + "}" * 20_000),
    ("a dotted key of 100000 parts", ".".join(["a"] * 100_000) + " = 1"),
    ("headers of growing depth", "".join(f"[{'.'.join(['a'] * j)}]\n" for j in range(1, 700))),
    ("20000 dotted keys", _HEAD + "".join(f"a.b{j} = 1\n" for j in range(20_000))),
    ("2 MB of questions", _HEAD * 40_000),
    ("a number of 100000 digits", _HEAD + "name = " + "9" * 100_000),
    ("a key of 100000 letters", _HEAD + "a" * 100_000 + " = 1"),
    ("bytes that are no UTF-8", _HEAD + 'name = "\udcff"'),
    ("a NUL", _HEAD + 'name = "\0"'),
    ("an unknown table", '[tool.run]\ncommand = "touch @S@"\n' + _HEAD),
    ("an unknown key", _HEAD + 'command = "touch @S@"\n'),
    ("a formula that is a list", '[[question]]\nformula = ["y ~ x"]\ndata = "../data.csv"\n'),
    ("a formula that is a table", '[[question]]\nformula = {a = 1}\ndata = "../data.csv"\n'),
    ("a vcov that is a date", _HEAD + "vcov = 1979-05-27\n"),
    ("a list of lists", _HEAD + 'vcov = [["HC1"]]\n'),
    ("two questions of one name", (_HEAD + 'name = "a"\n') * 2),
    ("a formula that is code", '[[question]]\nformula = "y ~ system(\'touch @S@\')"\ndata = "../data.csv"\n'),
    ("a template", '[[question]]\nformula = "y ~ {{ x }}"\ndata = "../data.csv"\n'),
    ("a vcov that is code", _HEAD + "vcov = \"system('touch @S@')\"\n"),
    ("defaults that are a list", "defaults = [1]\n" + _HEAD),
    ("a question that is a table", '[question]\nformula = "y ~ x"\n'),
)

_TRIPLE = '{"about": {"scenario": "one"}}\n'
JOURNALS = (
    ("somebody's notes without a last line end", "do not lose this"),
    ("somebody's notes", "do not lose this\nnor this\n"),
    ("a report in JSON", '{"format": "ivbridge/1", "type": "Agreement"}'),
    ("a shell script", "#!/bin/sh\ntouch @S@\n"),
    ("lists 100000 deep", _TRIPLE + "[" * 100_000 + "]" * 100_000 + "\n"),
    ("an about that is a list", '{"about": {"scenario": "one"}}\n{"about": [1]}\n'),
    ("a number of 100000 digits", _TRIPLE + "9" * 100_000 + "\n"),
    ("a list", _TRIPLE + "[1]\n"),
    ("another study's", '{"about": {"scenario": "system(\'touch @S@\')"}}\n'),
    ("bytes that are no UTF-8", _TRIPLE + "\udcff\n"),
    ("a pickle", "\udc80\x04cos\nsystem\n(S'touch @S@'\ntR."),
)


def _answer(**fields: object) -> str:
    return json.dumps({"format": "ivbridge/1", "type": "Estimate", **fields})


JSON = (
    ("nothing", ""),
    ("no JSON", "cos\nsystem\n(S'touch @S@'\ntR."),
    ("lists 100000 deep", "[" * 100_000 + "]" * 100_000),
    ("a number of 100000 digits", "9" * 100_000),
    ("another type", _answer(type="os.system")),
    ("a type of Python", json.dumps({"format": "ivbridge/1", "type": "builtins.exec", "code": "open('@S@', 'w')"})),
    ("no fields", _answer()),
    ("a field of another type", _answer(spec=[1], coefs="system('touch @S@')")),
    ("a spec of code", _answer(spec={"type": "IVSpec", "dependent": "system('touch @S@')"})),
    ("numbers that are texts", _answer(cov=["__import__('os')"], n="many")),
)

#: What it is, the path, and how writing there ends.
REPORTS = (
    ("no ending", "@O@/report", "UnsupportedError"),
    ("an ending that runs", "@O@/report.sh", "UnsupportedError"),
    ("Python", "@O@/report.py", "UnsupportedError"),
    ("R's profile", "@O@/.Rprofile", "UnsupportedError"),
    ("a folder that is not", "@O@/nowhere/report.html", "DataError"),
    ("a path upwards to nowhere", "@O@/../../../nowhere-at-all/report.html", "DataError"),
    ("a folder called so", "@D@/folder.html", "DataError"),
    ("a name of 5000 letters", "@O@/" + "a" * 5000 + ".html", "DataError"),
    ("a folder of 5000 letters", "@O@/" + "a" * 5000 + "/report.html", "DataError"),
    ("a NUL in the name", "@O@/a\0b.html", "DataError"),
    ("a NUL in the folder", "@O@/a\0b/report.html", "DataError"),
    ("a file as a folder", "@D@/data.csv/report.html", "DataError"),
    ("/dev/full", "@O@/full.html", "DataError"),
)

SHOWN = (
    ("a script", "<script>alert(1)</script>"),
    ("an end of a script", "</script></style></title><script>alert(1)</script>"),
    ("an image that runs", "<img src=x onerror=alert(1)>"),
    ("an SVG that runs", "<svg/onload=alert(1)>"),
    ("the end of an attribute", '" onmouseover="alert(1)" x="'),
    ("the end of an attribute in single quotes", "' onmouseover='alert(1)' x='"),
    ("an address that runs", "javascript:alert(1)"),
    ("a link of Markdown", "[click](javascript:alert(1))"),
    ("an image of Markdown", "![x](http://127.0.0.1/x.png)"),
    ("the end of a table", "a | b |\n\n# heading\n\n<b>x</b>"),
    ("the end of a code block", "```\n<script>alert(1)</script>\n```"),
    ("an entity", "&lt;script&gt;alert(1)&lt;/script&gt;"),
    ("LaTeX that reads a file", "\\input{/etc/passwd}"),
    ("LaTeX that runs", "\\immediate\\write18{touch @S@}"),
    ("LaTeX that defines", "}\\def\\x{\\x\\x}\\x{"),
    ("a template", "{{ 7 * 7 }}{% include '/etc/passwd' %}"),
    ("a template of LaTeX", "<< 7 * 7 >><% include '/etc/passwd' %>"),
    ("the end of a string of R", '"); system("touch @S@"); ("'),
    ("the end of a string of Python", "'); __import__('os').system('touch @S@'); ('"),
    ("a new line of R", "x\nsystem('touch @S@')"),
    ("a new line of Python", "x\n__import__('os').system('touch @S@')"),
    ("an escape sequence", "\x1b[2J\x1b]0;owned\x07"),
    ("an eight-bit escape sequence", "\x9b2J"),
    ("a carriage return", "SUBSTANTIVE\rIDENTICAL"),
    ("right-to-left override", "\u202egnp.exe"),
    ("a rich tag", "[link=http://127.0.0.1]click[/link]"),
    ("an ampersand and quotes", "&amp;\"'&"),
)

DESIGNS = (
    ("a factor with a level a row", "y ~ x + factor(a) | z + factor(a)"),
    ("4000 by 4000 levels", "y ~ x + factor(a):factor(b) | z + factor(a):factor(b)"),
    ("4000 by 4000 by 4000 levels", "y ~ x + factor(a)*factor(b)*factor(c) | z + factor(a)*factor(b)*factor(c)"),
    ("4000 by 4000 instruments", "y ~ x | factor(a):factor(b)"),
    ("80 splines by 4000 levels", "y ~ x + bs(x, df = 80):factor(b) | z + bs(x, df = 80):factor(b)"),
    ("splines by splines by splines", "y ~ x + bs(x, df = 99):bs(z, df = 99):bs(a, df = 99) | z + bs(x, df = 99)"),
)
