# The index of the book's search, find-index.js, which find.js reads: a line for each section,
# each question of an experiment and each term that is defined. mdBook's own index would be ten
# times as large, since it has the code, too. Words that stand only in code are not found.
#
# book.toml names this file as a preprocessor. mdBook asks each one first whether it supports the
# output html; this one writes the index, and answers no: it has nothing to change.

BEGIN {
    if (ARGV[1] != "supports" || ARGV[2] != "html") exit 1
    src = "chapters/"
    summary = src "SUMMARY.md"
    while ((getline line < summary) > 0)
        if (match(line, /\]\([^)]+\.md\)/)) page(substr(line, RSTART + 2, RLENGTH - 6))
    write(src "find-index.js")
    exit 1
}

function page(name) {
    url = name ".html"
    split("", used)
    about = ""
    read(src name ".md", "")
    paragraph_ends()
}

# A file's lines, or those between the marks of an anchor.
function read(file, anchor,    line, inside, fenced) {
    inside = anchor == ""
    while ((getline line < file) > 0) {
        if (line ~ /ANCHOR(_END)?: /) {
            if (index(line, "ANCHOR: " anchor " ")) inside = 1
            else if (index(line, "ANCHOR_END: " anchor " ")) inside = 0
        } else if (inside && line ~ /^ *```/) fenced = !fenced
        else if (inside && !fenced) take(line)
    }
    close(file)
}

function take(line,    part, id, level, outer) {
    if (line ~ /^\{\{#include [^.]+\.md/) {
        sub(/^\{\{#include /, "", line)
        sub(/\}\}.*/, "", line)
        if (line ~ /^figures\//) return
        split(line, part, ":")
        paragraph_ends()
        outer = doc
        lacks = line ~ /^lacks\//
        read(src part[1], part[2])
        lacks = 0
        paragraph_ends()
        doc = outer
    } else if (line ~ /^#+ /) {
        paragraph_ends()
        match(line, /^#+ /)
        level = RLENGTH - 1
        line = substr(line, RLENGTH + 1)
        id = ""
        if (match(line, / *\{#[^}]+\}$/)) {
            id = substr(line, RSTART, RLENGTH)
            gsub(/[ {#}]/, "", id)
            line = substr(line, 1, RSTART - 1)
        }
        line = plain(line)
        if (level == 1) { title = line; add("page", "", line) }
        else add("section", id != "" ? id : unique(line), line)
    } else if (line ~ /^<div class="guess"/ && match(line, /id="[^"]+"/)) {
        paragraph_ends()
        add("question", substr(line, RSTART + 4, RLENGTH - 5), "")
    } else if (line ~ /^: / && about != "") {
        term = plain(about)
        about = ""
        add("term", unique(term), term)
        sub(/ Shown: .*/, "", line)
        about = substr(line, 3)
    } else if (line ~ /^ *$/) paragraph_ends()
    else if (line !~ /^\|[-|: ]+$/ && line !~ /^\{\{/) {
        # Of a row of what is lacking only that is looked for: the commands are everywhere.
        if (lacks) sub(/ \| .*/, "", line)
        about = about " " line
    }
}

function paragraph_ends(    text) {
    text = plain(about)
    if (text == "") return
    # A question's title is the bold text that it starts with.
    if (titles[doc] == "" && match(about, /\*\*[^*]+\*\*/))
        titles[doc] = plain(substr(about, RSTART, RLENGTH - 3))
    bodies[doc] = bodies[doc] (bodies[doc] == "" ? "" : " ") text
    about = ""
}

function add(kind, id, name) {
    doc = ++docs
    kinds[doc] = kind
    urls[doc] = url (id == "" ? "" : "#" id)
    pages[doc] = title
    titles[doc] = name
    bodies[doc] = ""
}

# A heading's id, as mdBook makes it.
function unique(text,    id) {
    id = tolower(text)
    gsub(/[ \t]/, "-", id)
    gsub(/[!-,.\/:-@\[-^`{-~]/, "", id)
    return used[id]++ ? id "-" (used[id] - 1) : id
}

# A paragraph without its marks; what stands between backticks has none.
function plain(text,    part, n, i) {
    n = split(text, part, "`")
    text = ""
    for (i = 1; i <= n; i++) {
        if (i % 2) {
            gsub(/<!--[^>]*-->|<\/?[a-z][^>]*>/, " ", part[i])
            gsub(/\]\([^)]*\)/, "", part[i])
            gsub(/[][*]/, "", part[i])
            gsub(/\|/, " ", part[i])
            gsub(/&lt;/, "<", part[i])
            gsub(/&gt;/, ">", part[i])
            gsub(/&amp;/, "\\&", part[i])
        }
        text = text part[i]
    }
    gsub(/[ \t]+/, " ", text)
    sub(/^ /, "", text)
    sub(/ $/, "", text)
    return text
}

function json(text) {
    gsub(/[\\"]/, "\\\\&", text)
    return "\"" text "\""
}

# mdbook serve builds again when a file has changed: the same index is not written twice.
function write(file,    text, old, line, i) {
    text = "window.findIndex = [\n"
    for (i = 1; i <= docs; i++) if (bodies[i] != "")
        text = text "[" json(kinds[i]) "," json(urls[i]) "," json(pages[i]) "," json(titles[i]) \
            "," json(bodies[i]) "],\n"
    text = text "];\n"
    while ((getline line < file) > 0) old = old line "\n"
    close(file)
    if (text != old) printf "%s", text > file
}
