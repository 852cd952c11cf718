#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks that the documentation is true to the sources, where a program can tell.

Usage: check_docs.py [BUILD]

  - penstock.main.cf.5 is made from the table of parameters as it is now
  - parameters that it calls without an effect are those that nobody reads
  - egress.conf.5 names every key of the reader
  - the manual page of each program names every option of its --help (needs BUILD)
  - manual pages are roff without warnings, when man is there
  - every folder with C code has a README.md
  - paths and files that README.md, docs/ and the folder READMEs name exist
"""

import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
MAN = TOP / "docs/man"
SOURCE_FOLDERS = ("base", "tls", "queue", "dataplane", "control", "tools", "benchmarks", "tests")

# Program in the build folder, its page, the arguments that make it say its options.
PROGRAMS = [
    ("control/penstockd", "penstockd.8", [["--help"]]),
    ("tools/penstock/penstock", "penstock.1", [["--help"], ["queue", "delete", "--help"], ["config", "show", "--help"]]),
    ("tools/source/penstock-source", "penstock-source.1", [["--help"]]),
    ("tools/sink/penstock-sink", "penstock-sink.1", [["--help"]]),
    ("tools/impair/penstock-impair", "penstock-impair.1", [["--help"]]),
    # sendmail has no --help by tradition: its usage comes with the error.
    ("tools/sendmail/sendmail", "penstock-sendmail.1", [["-?"]]),
]

# Read by something else than a C expression that names them.
READ_ELSEWHERE = {
    "config_directory": "$config_directory in values",
    "mydomain": "$mydomain in values",
    "bounce_template_file": "control/config/config.c",
    "egress_config": "control/config/config.c",
}

# Paths that documents name and that are not in the tree: made by a build or on a running system.
NOT_IN_TREE = re.compile(r"^(/|~|\$|build|seg-|corrupt/|libexec/|https?:)")

problems = []


def problem(text):
    problems.append(text)


def read(path):
    return path.read_text(encoding="utf-8")


def load_generator():
    spec = importlib.util.spec_from_file_location("make_main_cf", MAN / "make-main-cf.py")
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    spec.loader.exec_module(module)
    return module


def sources():
    """Texts of the C sources that may read a parameter: all but tests and the reader itself."""
    for folder in ("control", "tools"):
        for path in sorted((TOP / folder).rglob("*.c")):
            if not path.name.endswith("_test.c") and path != TOP / "control/config/config.c":
                yield read(path)


def check_parameters():
    gen = load_generator()
    if not gen.PAGE.exists() or read(gen.PAGE) != gen.page():
        problem("docs/man/penstock.main.cf.5 is not up to date: run docs/man/make-main-cf.py")
    table = read(gen.TABLE)
    names = {name for _, _, name, _ in gen.parameters(table)}
    lines = len(re.findall(r"^PEN_[A-Z]+\(", table, re.M))
    if lines != len(names):
        problem(f"make-main-cf.py finds {len(names)} parameters, pen_params.def has {lines}")
    page = plain(read(gen.PAGE)) if gen.PAGE.exists() else ""
    text = "\n".join(sources())
    for name in sorted(names):
        if not re.search(rf"(?<!\w){name}(?!\w)", page):
            problem(f"docs/man/penstock.main.cf.5 does not name {name}")
        is_read = name in READ_ELSEWHERE or re.search(rf"(->|\.){name}\b", text)
        if is_read and name in gen.NO_EFFECT:
            problem(f"{name} has an effect now: take it out of NO_EFFECT in docs/man/make-main-cf.py")
        if not is_read and name not in gen.NO_EFFECT:
            problem(f"{name} is read by nobody: use it, or say so in NO_EFFECT of docs/man/make-main-cf.py")


def plain(roff):
    """What a page says, near enough to search it."""
    roff = re.sub(r'^\.\\".*$', "", roff, flags=re.M)
    roff = re.sub(r"\\f.", "", roff)
    return roff.replace(r"\-", "-").replace(r"\&", "").replace(r"\e", "\\")


def check_egress():
    page = plain(read(MAN / "egress.conf.5"))
    keys = re.findall(r'^\t\{"(\w+)", egress_read_', read(TOP / "control/config/egress.c"), re.M)
    if len(keys) < 10:
        problem("the keys of egress.conf are not where this check looks for them: control/config/egress.c")
    for key in keys:
        if not re.search(rf"^\.(TP\n\.)?(B|BR|BI) {key}\b", page, re.M):
            problem(f"docs/man/egress.conf.5 does not describe the key {key}")


def options_of(text):
    """-x, -xyz (each letter) and --long options in a help text."""
    found = set()
    for option in re.findall(r"(?<![\w-])(--?[A-Za-z0-9][\w-]*)", text):
        if option.startswith("--"):
            found.add(option)
        else:
            found.update("-" + letter for letter in option[1:])
    return found


def check_programs(build):
    for program, page, calls in PROGRAMS:
        path = build / program
        if not path.exists():
            problem(f"{program} is not in {build}")
            continue
        said = ""
        for args in calls:
            done = subprocess.run([path, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
            said += done.stdout + done.stderr
        # "program: ..." lines are complaints, not help.
        said = "\n".join(line for line in said.splitlines() if "invalid option" not in line)
        options = options_of(said)
        if not options:
            problem(f"{program} names no options: {said[:200]}")
        # Lines of font macros only: an example is no description.
        text = "\n".join(re.findall(r"^\.[BIR]+ .*$", plain(read(MAN / page)), re.M))
        for option in sorted(options):
            if not re.search(rf"(?<![\w-]){option}(?![\w-])", text):
                problem(f"docs/man/{page} does not describe {option} of {program}")


def check_pages():
    pages = sorted(MAN.glob("*.[1-9]"))
    if not pages:
        problem("docs/man has no pages")
    for page in pages:
        text = read(page)
        for part in (".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"):
            if part not in text:
                problem(f"docs/man/{page.name} has no {part}")
        if shutil.which("groff"):
            done = subprocess.run(["groff", "-man", "-ww", "-z", "-Kutf8", page], capture_output=True, text=True)
            if done.stderr:
                problem(f"docs/man/{page.name}: {done.stderr.strip()}")
        for name, section in re.findall(r"^\.BR ([\w.\\-]+) \((\d)\)", text, re.M):
            name = name.replace("\\-", "-")
            if name.startswith(("penstock", "egress")) and not (MAN / f"{name}.{section}").exists():
                problem(f"docs/man/{page.name} refers to {name}({section}), which has no page")


def check_readmes():
    for folder in SOURCE_FOLDERS:
        for path in sorted({p.parent for p in (TOP / folder).rglob("*.c")}):
            if not (path / "README.md").exists():
                problem(f"{path.relative_to(TOP)} has C code and no README.md")


def files_by_name():
    known = {}
    for folder in SOURCE_FOLDERS + ("docs",):
        for path in (TOP / folder).rglob("*"):
            if path.is_file():
                known.setdefault(path.name, path)
    return known


def exists(token, document, names):
    """Whether a path named in a document is there: from the top, from the document's folder, or by
    its file name alone."""
    for base in (TOP, document.parent):
        if (base / token).exists() or ("*" in token and any(base.glob(token))):
            return True
    return "/" not in token and (token in names or "*" in token)


def paths_in(text):
    """What looks like a path in backticks or in a Markdown link."""
    for quoted in re.findall(r"`([^`\n]+)`", text):
        for token in re.sub(r"<[^>]*>", " ", quoted).split():
            token = token.rstrip(".,:;")
            if re.fullmatch(r"[\w*][\w.*/-]*/[\w.*/-]*|[\w*-]+\.(c|h|py|md|def|build|sh|[1-9])", token):
                yield token
    for target in re.findall(r"\]\(([^)#\s]+)\)", text):
        yield target
    for line in re.findall(r"^    +(.*)$", text, re.M):  # commands
        for token in line.split():
            if re.match(r"(tools|tests|docs|benchmarks)/", token):
                yield token.rstrip(".,:;")


def check_paths(build):
    names = files_by_name()
    documents = [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))]
    for folder in SOURCE_FOLDERS:
        documents += sorted((TOP / folder).rglob("README.md"))
    for document in documents:
        where = document.relative_to(TOP)
        for token in sorted(set(paths_in(read(document)))):
            if not NOT_IN_TREE.match(token) and not exists(token, document, names):
                problem(f"{where} names {token}, which does not exist")
        for token in re.findall(r"(?<![\w/])build/([\w/-]+)", read(document)) if build else []:
            if not (build / token).exists():
                problem(f"{where} names build/{token}, which the build does not make")


def main():
    build = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
    check_parameters()
    check_egress()
    check_pages()
    check_readmes()
    check_paths(build)
    if build:
        check_programs(build)
    for text in problems:
        print(text)
    print(f"check_docs: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
