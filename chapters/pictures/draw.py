#!/usr/bin/env python3
"""Draws the book's pictures of what is where, and its charts of what it costs, which are made of
the captured figures: `python3 draw.py [FOLDER]` writes each NAME.svg beside it, or into FOLDER.

Each shape stands here once. Colours are attributes, which every program that draws an SVG knows;
a style sheet replaces them where the page has a dark theme. The process that waits is on the left,
in teal; the one that comes to it is on the right, in amber; a third one is green. Which role is which stands
in the table of chapters (`Side`), with which tests/book.rs compares the pictures.
"""
import html
import math
import pathlib
import sys

# By class: the attributes for light, then what the style sheet says for dark.
LIGHT = {
    "t": "#24292f", "f": "#5f6872", "l": "#8a939d", "p": "#ffffff", "k": "#eef1f4", "k2": "#dfe4e9",
    "r": "#0b7285", "rb": "#e3f3f6", "s": "#8a5a00", "sb": "#faf0dc", "g": "#2b7a0b", "gb": "#e6f2e0",
    "u": "#6941b8", "ub": "#ece5fa",
}
DARK = {
    "t": "#d6dde4", "f": "#98a4b0", "l": "#66717d", "p": "#1b2030", "k": "#232a3c", "k2": "#313a50",
    "r": "#5fd3e6", "rb": "#173642", "s": "#f0c05a", "sb": "#3a301b", "g": "#8bdc6e", "gb": "#20371b",
    "u": "#c3a6ff", "ub": "#342a52",
}


def style(classes):
    """A rule for each class that the picture uses (`f-t`, `s-l`), and the colours as variables, for the themes
    that differ from the attributes. Paper is light, whatever the theme."""
    used = sorted({name.partition("-")[2] for name in classes})
    light, dark = (";".join(f"--{name}:{colours[name]}" for name in used) for colours in (LIGHT, DARK))
    rules = "".join(f".ipclab-picture .{name}{{{'fill' if name[0] == 'f' else 'stroke'}:var(--{name[2:]})}}"
                    for name in sorted(classes))
    return (f".ipclab-picture{{{light};display:block;width:100%;max-width:520px;height:auto;margin:0 auto}}"
            f"@media(prefers-color-scheme:dark){{.ipclab-picture{{{dark}}}}}"
            f".js.light .ipclab-picture,.js.rust .ipclab-picture{{{light}}}"
            f".js.coal .ipclab-picture,.js.navy .ipclab-picture,.js.ayu .ipclab-picture{{{dark}}}"
            f"@media print{{.js[class] .ipclab-picture{{{light}}}}}" + rules)


SANS = "'Open Sans','Noto Sans','DejaVu Sans',sans-serif"
MONO = "'Source Code Pro','DejaVu Sans Mono',Menlo,Consolas,monospace"


class Picture:
    """A picture of 400 units of width: on a phone its type is still legible."""

    def __init__(self, name, height, title, text):
        self.name, self.height, self.title, self.alternative = name, height, title, text
        self.parts, self.classes = [], set()

    def add(self, element, fill="none", stroke="none", thick=None, dash=None, **attributes):
        more = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
        for kind, colour in (("fill", fill), ("stroke", stroke)):
            more += f' {kind}="{LIGHT.get(colour, colour)}"'
        classes = [f"{kind}-{colour}" for kind, colour in (("f", fill), ("s", stroke)) if colour != "none"]
        more += f' class="{" ".join(classes)}"' if classes else ""
        self.classes.update(classes)
        more += f' stroke-width="{thick}"' if thick else ""
        more += f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f"<{element}{more}/>")

    def rect(self, x, y, w, h, rx=0, **paint):
        self.add("rect", x=x, y=y, width=w, height=h, rx=rx, **paint)

    def path(self, d, **paint):
        self.add("path", d=d, **paint)

    def text(self, x, y, text, colour="t", anchor="start", mono=False, bold=False):
        more = ' font-weight="600"' if bold else ""
        more += f' font-family="{MONO}" font-size="11.5"' if mono else ""
        more += "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.classes.add(f"f-{colour}")
        self.parts.append(f'<text x="{x}" y="{y}" fill="{LIGHT[colour]}" class="f-{colour}"{more}>'
                          f"{html.escape(text, quote=False)}</text>")

    # The shapes.

    def kernel(self, y, height, label="kernel", x=200):
        self.rect(0, y, 400, height, 8, fill="k")
        self.text(x, y + 16, label, "f", "middle")

    def process(self, side, x, y, w, h, name, calls=(), pid=""):
        """A rounded box with its name on a coloured head, and the calls that it makes."""
        self.rect(x, y, w, h, 9, fill="p")
        self.path(f"M{x} {y+26}V{y+9}a9 9 0 0 1 9-9H{x+w-9}a9 9 0 0 1 9 9V{y+26}z", fill=side + "b")
        self.rect(x, y, w, h, 9, stroke=side, thick=1.6)
        self.text(x + 12, y + 18, name, side, bold=True)
        if pid:
            self.text(x + w - 12, y + 18, pid, "f", "end")
        for index, call in enumerate(calls):
            self.text(x + 12, y + 45 + 16 * index, call, mono=True)

    def table(self, side, x, y, rows, w=132, title="descriptors", all_mine=False):
        """A descriptor table; the rows without a text are those that the picture is about."""
        self.text(x, y - 6, title, "f")
        for index, (number, text) in enumerate(rows):
            top = y + 20 * index
            mine = all_mine or not text
            self.rect(x, top, w, 20, fill=side + "b" if mine else "p", stroke=side if mine else "l")
            self.path(f"M{x+30} {top}v20", stroke=side if mine else "l")
            self.text(x + 15, top + 14, number, "t" if mine else "f", "middle", mono=True)
            self.text(x + 38, top + 14, text, "f")

    def open_file(self, side, x, y, lines, w=116, h=40):
        """An open file description, or a socket: a box with a cut corner."""
        self.path(f"M{x+8} {y}H{x+w-8}L{x+w} {y+8}V{y+h}H{x}V{y+8}z", fill="p", stroke=side, thick=1.4)
        for index, line in enumerate(lines):
            self.text(x + w / 2, y + 17 + 15 * index, line, "t" if index == 0 else "f", "middle", mono=index > 0)

    def tube(self, x, y, w, h=36, bytes_="", at=18):
        """A buffer of bytes in the kernel: they stand in the order in which they are read."""
        self.path(f"M{x+9} {y}H{x+w-9}a9 {h/2} 0 0 1 0 {h}H{x+9}a9 {h/2} 0 0 1 0-{h}z",
                  fill="p", stroke="t", thick=1.6)
        self.add("ellipse", cx=x + w - 9, cy=y + h / 2, rx=9, ry=h / 2, fill="k2", stroke="t", thick=1.6)
        self.cells(x + at, y + (h - 22) / 2, bytes_)

    def cells(self, x, y, bytes_, w=17, h=22):
        for index, byte in enumerate(bytes_):
            self.rect(x + index * w, y, w, h, fill="ub", stroke="u")
            self.text(x + index * w + w / 2, y + h / 2 + 4, byte, anchor="middle", mono=True)

    def message(self, x, y, text, label="", w=64, h=26):
        """A message that keeps its bounds."""
        self.rect(x, y, w, h, 3, fill="ub", stroke="u", thick=1.4)
        self.text(x + w / 2, y + h / 2 + 4, text, anchor="middle", mono=True)
        self.text(x + w / 2, y + h + 14, label, "f", "middle")

    def pages(self, x, y, count, w=71, h=44):
        """Pages of memory: a row of cells, never a tube."""
        for index in range(count):
            self.rect(x + w * index, y, w, h, fill="p", stroke="t", thick=1.6)

    def tag(self, x, y, w, first, second="", h=None):
        """A name by which strangers find something: a luggage tag."""
        h = h or (50 if second else 30)
        self.path(f"M{x+16} {y}H{x+w-5}a5 5 0 0 1 5 5V{y+h-5}a5 5 0 0 1-5 5H{x+16}L{x} {y+h-12}V{y+12}z",
                  fill="p", stroke="t", thick=1.4)
        self.add("circle", cx=x + 13, cy=y + h / 2, r=3.6, fill="k", stroke="t")
        self.text(x + 28, y + 20, first, mono=True)
        self.text(x + 28, y + 38, second, "f")

    def reference(self, side, d, tip):
        """A thin line that begins with a dot: this leads there. `tip`: where it ends, and its way."""
        x, y, way = tip
        start = d[1:].replace("V", " ").replace("H", " ").split(" ")
        self.add("circle", cx=start[0], cy=start[1], r=3.4, fill=side)
        self.path(d, stroke=side, thick=1.4)
        head = {"d": f"M{x-4} {y-6}L{x} {y}L{x+4} {y-6}", "u": f"M{x-4} {y+6}L{x} {y}L{x+4} {y+6}",
                "r": f"M{x-6} {y-4}L{x} {y}L{x-6} {y+4}", "l": f"M{x+6} {y-4}L{x} {y}L{x+6} {y+4}"}[way]
        self.path(head, stroke=side, thick=1.4)

    def life(self, columns, moments, bars, width=40, text=216):
        """A life, downwards: the calls on the left, each in the colour of the one that makes it, and a bar for each
        thing from the moment when it is there to the one when it is gone. `bars`: column, first moment, last one
        (None: it stays), colour, and what stands in it."""
        end = 40 + 38 * len(moments)
        at = [text + (width + 8) * index for index in range(len(columns))]
        for x, (words, colour) in zip(at, columns):
            for line, word in enumerate(words.split("\n")):
                self.text(x + width / 2, 14 + 14 * line, word, colour, "middle")
        for index, (side, call, note) in enumerate(moments):
            y = 54 + 38 * index
            self.path(f"M{text-6} {y-4}H{at[-1]+width}", stroke="k2")
            self.text(1, y, call, side, mono=True)
            self.text(1, y + 15, note, "f")
        for column, first, last, colour, words in bars:
            x, top = at[column], 50 + 38 * first
            height = (end + 10 if last is None else 50 + 38 * last) - top
            fill, stroke = ("k2", "l") if colour == "k" else (colour + "b", colour)
            self.rect(x, top, width, height, 3, fill=fill, stroke=stroke, thick=1.4)
            for line, word in enumerate(words.split("\n")):
                self.text(x + width / 2, top + 16 + 14 * line, word, anchor="middle")

    def found(self, d):
        """A dashed line: found by its name."""
        self.path(d, stroke="f", thick=1.3, dash="4 3")

    def flow(self, d, tip):
        """Bytes on their way: a thick line with a full head."""
        x, y, way = tip
        self.path(d, stroke="u", thick=3.4, stroke_linejoin="round")
        head = {"l": f"M{x} {y}l11-6.5v13z", "r": f"M{x} {y}l-11-6.5v13z",
                "u": f"M{x} {y}l-6.5 11h13z", "d": f"M{x} {y}l-6.5-11h13z"}[way]
        self.path(head, fill="u")

    def svg(self):
        key = f"picture-{self.name}"
        return (f'<svg class="ipclab-picture" xmlns="http://www.w3.org/2000/svg" role="img" '
                f'aria-labelledby="{key}-t {key}-d" viewBox="0 0 400 {self.height}" '
                f'font-family="{SANS}" font-size="12">\n'
                f'<title id="{key}-t">{html.escape(self.title)}</title>\n'
                f'<desc id="{key}-d">{html.escape(self.alternative)}</desc>\n'
                f"<style>{style(self.classes)}</style>\n" + "\n".join(self.parts) + "\n</svg>\n")


PICTURES = []


def picture(height, title, text):
    """Keeps what the function draws under the function's name."""
    def keep(draw):
        drawn = Picture(draw.__name__.replace("_", "-"), height, title, text)
        draw(drawn)
        PICTURES.append(drawn)
        return draw
    return keep


def two(p, left, right, left_rows, right_rows, side="s"):
    """Two processes with their calls and descriptors, above the edge of the kernel."""
    (left_name, left_calls), (right_name, right_calls) = left, right
    p.process("r", 6, 6, 184, 152, left_name, left_calls)
    p.process(side, 210, 6, 184, 152, right_name, right_calls)
    p.table("r", 32, 100, left_rows)
    p.table(side, 236, 100, right_rows)


@picture(346, "How to read the pictures",
         "Seven shapes. A process is a rounded box with its name on a coloured head: teal for the one that waits, "
         "amber for the one that comes to it, green for a third. Its descriptor table is a small table. An open file or a socket is a box "
         "with cut corners. A buffer of bytes in the kernel is a tube, pages of memory are a row of cells, a message "
         "is a box of its own. A name is a luggage tag. A thin line with a dot is a reference, a thick arrow is bytes "
         "that are copied.")
def legend(p):
    p.process("r", 6, 6, 120, 44, "receiver", [])
    p.text(144, 24, "a process: teal waits,")
    p.text(144, 40, "amber comes to it, green is a third", "f")
    p.table("r", 6, 80, [("5", "")], 120, "")
    p.reference("r", "M60 90H118", (119, 90, "r"))
    p.text(144, 94, "a descriptor: a number that leads to…")
    p.open_file("r", 6, 116, ["open file", "O_RDONLY"], 120)
    p.text(144, 132, "…an open file, or a socket:")
    p.text(144, 148, "several descriptors may lead to one", "f")
    p.tube(6, 170, 120, 34, "hello")
    p.text(144, 184, "a buffer of bytes in the kernel,")
    p.text(144, 200, "as they will be read, from the left", "f")
    p.message(6, 220, "hello", w=56)
    p.pages(72, 220, 2, 27, 26)
    p.text(144, 237, "a message that keeps its bounds; pages")
    p.tag(6, 262, 120, "/a/name")
    p.text(144, 281, "a name by which strangers find it")
    p.flow("M118 322H24", (14, 322, "l"))
    p.text(144, 326, "bytes, copied by the call named there")


@picture(364, "Descriptors, open files and a file, after a fork",
         "Two processes, parent and child. In the parent, descriptors 3 and 4 lead to one open file description, with "
         "one offset; 4 was made by dup. fork has copied both into the child, where they lead to the same one. The child "
         "has read four bytes, so the offset is 4 for all. Descriptor 5 of the parent leads to another open file "
         "description of the same file, which it has opened anew: its offset is 0. Each descriptor has a flag of "
         "its own, FD_CLOEXEC; the offset and O_NONBLOCK are the open file description's.")
def descriptors(p):
    p.kernel(164, 196, x=342)
    p.process("r", 6, 6, 184, 146, "parent", ["open(…) = 5"])
    p.process("s", 210, 6, 184, 146, "child", ['read(3, …) = "one "'])
    flag = "FD_CLOEXEC"
    p.table("r", 42, 80, [("3", flag), ("4", flag), ("5", flag)], 126, all_mine=True)
    p.table("s", 246, 80, [("3", flag), ("4", flag)], 126, all_mine=True)
    p.reference("r", "M168 90H203V197", (203, 198, "d"))
    p.reference("r", "M168 110H192V197", (192, 198, "d"))
    p.reference("s", "M246 90H220V197", (220, 198, "d"))
    p.reference("s", "M246 110H232V197", (232, 198, "d"))
    p.reference("r", "M42 130H30V197", (30, 198, "d"))
    p.open_file("t", 14, 200, ["open file", "offset 0", "O_RDONLY"], 112, 58)
    p.open_file("t", 152, 200, ["open file", "offset 4", "O_RDWR"], 112, 58)
    for line, words in enumerate(("O_NONBLOCK and", "the offset are of", "the open file", "description")):
        p.text(276, 214 + 15 * line, words, "f")
    p.reference("t", "M70 258V293", (70, 294, "d"))
    p.reference("t", "M208 258V293", (208, 294, "d"))
    p.rect(14, 296, 372, 40, fill="p", stroke="t", thick=1.6)
    p.cells(24, 305, "one two six ")
    p.text(240, 320, "one file: its bytes", "f")
    p.text(200, 352, "fork copies the table, not what its rows lead to", "f", "middle")


@picture(440, "Which one? Five questions",
         "Five questions, one after the other. Are they on different machines, now or one day? Then TCP; or UDP, or MPI. Does "
         "one of them start the other? Then a pipe; or a pair of Unix sockets. Is it a service that other programs find "
         "by a name? Then D-Bus. Must the messages wait for a receiver who comes later? Then a POSIX queue; or a "
         "file. Is copying the bytes too slow, by a measurement? Then shared memory and a semaphore. Five times no: "
         "a Unix socket.")
def choose(p):
    for index, (first, second, answer, other) in enumerate((
            ("On different machines,", "now or one day?", "TCP", "or UDP, MPI"),
            ("Does one of them", "start the other?", "a pipe", "or a socketpair"),
            ("A service that other programs", "find by a name?", "D-Bus", ""),
            ("Must messages wait for a", "receiver who comes later?", "a POSIX queue", "or a file"),
            ("Is copying too slow?", "Measure first.", "shared memory", "and a semaphore"))):
        y = 4 + 76 * index
        p.rect(4, y, 226, 50, 9, fill="p", stroke="t", thick=1.4)
        p.add("circle", cx=24, cy=y + 25, r=11, fill="k2")
        p.text(24, y + 29, str(index + 1), anchor="middle", bold=True)
        p.text(44, y + 21, first)
        p.text(44, y + 38, second)
        p.path(f"M230 {y+25}H270M265 {y+21}L271 {y+25}L265 {y+29}", stroke="t", thick=1.4)
        p.text(249, y + 19, "yes", "f", "middle")
        p.rect(274, y, 122, 50, 9, fill="ub", stroke="u", thick=1.6)
        p.text(335, y + (21 if other else 29), answer, "u", "middle", bold=True)
        p.text(335, y + 38, other, "t", "middle")
        p.path(f"M117 {y+50}V{y+73}M113 {y+68}L117 {y+74}L121 {y+68}", stroke="t", thick=1.4)
        p.text(126, y + 67, "no", "f")
    p.rect(4, 384, 226, 50, 9, fill="ub", stroke="u", thick=1.6)
    p.text(117, 405, "a Unix socket", "u", "middle", bold=True)
    p.text(117, 422, "both ways, many clients, poll", anchor="middle")


@picture(276, "The life of a child: what is there, and until when",
         "Time runs downwards. fork makes the child: its number, its memory and its descriptors are there. execve "
         "replaces the program; it is the same process. When the child exits, memory and descriptors are gone, and its status "
         "is kept: number and status alone are a zombie. waitpid takes the status, and the number is free.")
def life_spawn(p):
    p.life([("number", "f"), ("memory,\nfiles", "f"), ("status", "f")],
           [("r", "fork() = 4711", "a copy of the parent"),
            ("s", "execve(…)", "another program, the same process"),
            ("s", "exit(3)", "memory and descriptors are gone"),
            ("t", "…", "a zombie: number and status"),
            ("r", "waitpid(4711) = 4711", "the status is taken")],
           [(0, 0, 4, "s", ""), (1, 0, 2, "s", ""), (2, 2, 4, "u", "3")], 50, 226)
    p.text(1, 266, "Without waitpid it stays a zombie while its parent lives.", "f")


@picture(348, "The life of a FIFO: the name, the pipe and the bytes",
         "Time runs downwards. mkfifo makes the name; there is no pipe yet. open makes the pipe, and sleeps until the "
         "other side opens, too. write puts bytes in. The sender's close leaves the bytes and the pipe. read takes the "
         "bytes, and then returns 0. unlink removes the name; the pipe goes with its last end.")
def life_fifo(p):
    p.life([("name", "f"), ("pipe", "f"), ("bytes", "f")],
           [("r", "mkfifo(name)", "a name, and no pipe"),
            ("r", "open(name, O_RDONLY)", "sleeps until a writer opens it"),
            ("s", "open(name, O_WRONLY)", "both calls return"),
            ("s", 'write(3, "hello⏎", 6)', "the bytes are in the pipe"),
            ("s", "close(3)", "pipe and bytes stay"),
            ("r", "read(3, …) = 6, then 0", "no byte, and no writer"),
            ("r", "unlink(name)", "the name is gone, the pipe is not"),
            ("r", "close(3)", "the last end: the pipe is gone")],
           [(0, 0, 6, "k", ""), (1, 1, 7, "k", ""), (2, 3, 5, "u", "")], 50, 226)


@picture(276, "The life of shared memory: the name, the pages and the mappings",
         "Time runs downwards. shm_open makes the name and the memory, ftruncate gives it its size. Each process maps the "
         "pages. The sender exits: its mapping is gone, the pages stay, with what is in them. shm_unlink removes the name alone: "
         "the receiver still has the pages. With the last mapping they are free.")
def life_shm(p):
    p.life([("name", "f"), ("pages", "f"), ("map", "r"), ("map", "s")],
           [("r", "shm_open, ftruncate", "a name, and memory"),
            ("r", "mmap", "an address for them"),
            ("s", "shm_open, mmap", "the same pages"),
            ("s", "exit", "what it has stored stays"),
            ("r", "shm_unlink", "the name alone is gone"),
            ("r", "exit", "the last mapping: the pages go")],
           [(0, 0, 4, "k", ""), (1, 0, 5, "u", ""), (2, 1, 5, "r", ""), (3, 2, 3, "s", "")], 42, 200)


@picture(284, "The life of a System V queue: nobody has it open",
         "Time runs downwards. msgget makes the queue, msgsnd puts a message in. The sender exits, and the queue "
         "stays with the message: no process has it open, so none can be the last. A receiver that comes later takes "
         "the message. Only IPC_RMID removes the queue, at once; a process that sleeps on it gets EIDRM.")
def life_sysvmq(p):
    p.life([("queue", "f"), ("message", "f"), ("sender", "s"), ("receiver", "r")],
           [("s", "msgget(key, IPC_CREAT)", "a queue"),
            ("s", "msgsnd(5, …)", "a message waits"),
            ("s", "exit", "queue and message stay"),
            ("r", "msgget(key) = 5", "another process, later"),
            ("r", "msgrcv(5, …) = 6", "the message is taken"),
            ("r", "msgctl(5, IPC_RMID)", "gone; who sleeps: EIDRM")],
           [(0, 0, 5, "k", ""), (1, 1, 4, "u", ""), (2, 0, 2, "s", ""), (3, 3, None, "r", "")], 46, 184)


@picture(386, "The life of a TCP connection: the states of both sides",
         "Time runs downwards. The server's listening socket is in the state LISTEN. connect makes the connection, which is "
         "ESTABLISHED on both sides before accept takes it up. The client's shutdown sends a FIN: the client is in "
         "FIN_WAIT_2, the server in CLOSE_WAIT, and still sends its answers. The server closes: its side is done when the client "
         "has acknowledged that. The client closed first, so it stays in TIME_WAIT for 60 seconds.")
def life_tcp(p):
    p.life([("server", "r"), ("client", "s")],
           [("r", "listen(3)", "clients may come"),
            ("s", "connect(3, …)", "SYN, and its answer"),
            ("r", "accept(3) = 4", "3 stays in LISTEN"),
            ("s", "shutdown(3, SHUT_WR)", "FIN: no more will come"),
            ("r", "recv(4) = 0", "the client has ended"),
            ("r", "send(4, answer)", "one direction is open"),
            ("r", "close(4)", "FIN the other way"),
            ("s", "close(3)", "no descriptor is left"),
            ("t", "60 s later", "the port pair is free")],
           [(0, 0, 1, "k", "LISTEN"), (0, 1, 3, "r", "ESTABLISHED"), (0, 3, 6, "r", "CLOSE_WAIT"),
            (1, 1, 3, "s", "ESTABLISHED"), (1, 3, 6, "s", "FIN_WAIT_2"), (1, 6, 8, "k", "TIME_WAIT")], 96, 190)


def pipe_between(p, reading, writing):
    """A pipe's buffer, below the open files of its two ends, and the bytes on their way."""
    p.open_file("r", 54, 200, [reading, "O_RDONLY"])
    p.open_file("s", 230, 200, [writing, "O_WRONLY"])
    p.reference("r", "M112 130V199", (112, 199.5, "d"))
    p.reference("s", "M288 130V199", (288, 199.5, "d"))
    p.path("M112 240V279M288 240V279", stroke="l", thick=1.4)
    p.text(200, 256, "pipe buffer", anchor="middle")
    p.text(200, 271, "65,536 bytes", "f", "middle")
    p.tube(58, 280, 284, 36, "hello⏎")
    p.flow("M58 298H20V170", (20, 159, "u"))
    p.flow("M380 158V298H352", (343, 298, "l"))
    p.text(76, 334, "read copies out", "f")
    p.text(324, 334, "write copies in", "f", "end")


@picture(340, "What is where while a parent talks with its child",
         "Two processes, a parent and its child, which has become the program tr. Two pipes are between them. Descriptor 4 "
         "of the parent leads to the write end of the first one, descriptor 0 of the child to its read end. Descriptor 1 "
         "of the child leads to the write end of the second one, descriptor 5 of the parent to its read end. The child has "
         "read hello from the first pipe, which is empty now, and has written HELLO into the second one.")
def spawn(p):
    p.kernel(172, 162)
    p.process("r", 6, 6, 184, 152, "parent", ["write(4, \"hello⏎\", 6)", "read(5, …)"], "4710")
    p.process("s", 210, 6, 184, 152, "child: tr", ["read(0, …) = 6", 'write(1, "HELLO⏎", 6)'], "4711")
    p.table("r", 32, 100, [("4", ""), ("5", "")], 146)
    p.table("s", 222, 100, [("0", ""), ("1", "")], 146)
    for x, text in ((70, "the first pipe"), (260, "standard input")):
        p.text(x, 114, text, "f")
    for x, text in ((70, "the second pipe"), (260, "standard output")):
        p.text(x, 134, text, "f")
    p.text(200, 205, "to the child: it has read all", "f", "middle")
    p.tube(70, 212, 260, 32)
    p.reference("r", "M32 110H20V228H69", (69, 228, "r"))
    p.reference("s", "M368 110H380V228H331", (331, 228, "l"))
    p.text(200, 267, "to the parent", "f", "middle")
    p.tube(70, 274, 260, 32, "HELLO⏎")
    p.reference("r", "M32 130H11V290H69", (69, 290, "r"))
    p.reference("s", "M368 130H389V290H331", (331, 290, "l"))
    p.text(200, 325, "each has two ends, and no name", "f", "middle")


@picture(346, "What is where while a pipe is open",
         "Two processes, receiver and sender, with a pipe between them. The shell made the pipe before it started "
         "them: descriptor 0 of the receiver leads to its read end, descriptor 1 of the sender to its write end. Both "
         "ends are open files of one buffer in the kernel, of 65,536 bytes. write copies bytes in, read copies them "
         "out. The pipe has no name.")
def pipe(p):
    p.kernel(172, 168)
    two(p, ("receiver", ["read(0, …) = 6", '"hello⏎"']), ("sender", ['write(1, "hello⏎", 6)', "= 6"]),
        [("1–2", "the terminal"), ("0", "")], [("0, 2", "the terminal"), ("1", "")])
    pipe_between(p, "read end", "write end")


@picture(432, "What is where while a FIFO is open",
         "Two processes, receiver and sender. In each, descriptor 3 leads to an open file in the kernel: the receiver's "
         "is open for reading, the sender's for writing. Both are ends of one pipe, a buffer in the kernel of 65,536 "
         "bytes. write copies bytes in, read copies them out. Below, in the file system, is the name. It leads to the "
         "pipe when a process opens it, and holds no byte.")
def fifo(p):
    p.kernel(172, 178)
    two(p, ("receiver", ["read(3, …) = 6", '"hello⏎"']), ("sender", ['write(3, "hello⏎", 6)', "= 6"]),
        [("0–2", "the terminal"), ("3", "")], [("0–2", "the terminal"), ("3", "")])
    pipe_between(p, "open file", "open file")
    p.found("M200 317V378")
    p.text(207, 367, "open() finds it by its name", "f")
    p.tag(48, 380, 304, "/run/user/1000/ipclab/fifo", "a name in the file system: no byte is there")


@picture(420, "What is where while a file is handed over",
         "Two processes, receiver and sender. The sender writes into a new file that has no public name yet, and "
         "renames it when it is whole; the receiver opens the name and reads. Both open files lead to the same inode, "
         "whose bytes are in pages of the page cache, and later on the disk. Each open file has an offset of its own.")
def file(p):
    p.kernel(172, 166)
    two(p, ("receiver", ["open(name, O_RDONLY)", "read(3, …) = 6"]), ("sender", ['write(3, "hello⏎", 6)', "rename(new, name)"]),
        [("0–2", "the terminal"), ("3", "")], [("0–2", "the terminal"), ("3", "")])
    p.open_file("r", 54, 200, ["open file", "offset 6"])
    p.open_file("s", 230, 200, ["open file", "offset 6"])
    p.reference("r", "M112 130V199", (112, 199.5, "d"))
    p.reference("s", "M288 130V199", (288, 199.5, "d"))
    p.reference("r", "M112 240V271", (112, 272, "d"))
    p.reference("s", "M288 240V271", (288, 272, "d"))
    p.text(200, 262, "one file", anchor="middle")
    p.pages(58, 274, 4, 71, 40)
    p.cells(62, 283, "hello⏎", 10.6)
    p.text(200, 331, "its pages in the page cache; later the disk's", "f", "middle")
    p.flow("M58 294H20V170", (20, 159, "u"))
    p.flow("M380 158V294H352", (343, 294, "l"))
    p.found("M200 338V366")
    p.tag(48, 368, 304, "/run/user/1000/ipclab/file", "the name leads to the new file, or to the old")


@picture(364, "What is where while a signal is sent",
         "Two processes, receiver and sender. The sender calls sigqueue with the receiver's process number, a real-time "
         "signal and a value, here an int. In the kernel, the receiver has a queue of pending signals. When it next runs, "
         "the kernel calls its handler, or it takes one from the queue by sigwaitinfo. The receiver's number stands in "
         "a file, which is how the sender finds it.")
def signal(p):
    p.kernel(144, 132)
    p.process("r", 6, 6, 184, 124, "receiver", ["sigwaitinfo(…) =", "SIGRTMIN, with a", "value, an int"], "4710")
    p.process("s", 210, 6, 184, 124, "sender", ["sigqueue(4710,", " SIGRTMIN, value)"])
    p.text(200, 186, "pending signals of process 4710", anchor="middle")
    p.message(66, 200, "value", "SIGRTMIN")
    p.message(138, 200, "value", "SIGRTMIN")
    p.rect(210, 200, 64, 26, 3, stroke="l", dash="4 3")
    p.rect(282, 200, 64, 26, 3, stroke="l", dash="4 3")
    p.flow("M58 213H20V142", (20, 131, "u"))
    p.flow("M380 130V213H364", (352, 213, "l"))
    p.text(200, 266, "No descriptor: the kernel knows the number.", "f", "middle")
    p.found("M200 276V302")
    p.tag(48, 304, 304, "/run/user/1000/ipclab/signal", "a file that holds the number 4710")


@picture(436, "What is where while a Unix socket is connected",
         "Server and client. The server has two sockets: one that listens, with a backlog of connections that wait to "
         "be accepted, and one that is connected to the client's. Each connected socket has a queue of bytes that it "
         "has received; a write on one side puts bytes into the other's queue. The name in the file system leads to the "
         "listening socket.")
def unix(p):
    p.kernel(190, 184)
    p.process("r", 6, 6, 184, 172, "server", ["accept(3) = 4", "read(4, …) = 6"])
    p.process("s", 210, 6, 184, 172, "client", ["connect(3, name)", 'write(3, "hello⏎", 6)'])
    p.table("r", 32, 100, [("0–2", "the terminal"), ("3", ""), ("4", "")])
    p.table("s", 236, 100, [("0–2", "the terminal"), ("3", "")])
    p.open_file("r", 14, 316, ["listening", "backlog: 0"], 108, 42)
    p.reference("r", "M32 130H24V314", (24, 315, "d"))
    p.open_file("r", 66, 220, ["socket", "stream"], 104)
    p.open_file("s", 254, 220, ["socket", "stream"], 104)
    p.reference("r", "M118 150V218", (118, 219, "d"))
    p.reference("s", "M306 130V218", (306, 219, "d"))
    p.tube(142, 270, 116, 34, "hello⏎", 4)
    p.path("M170 240H254", stroke="l", thick=1.4, dash="2 3")
    p.text(212, 234, "connected", "f", "middle")
    p.flow("M340 260V287H270", (260, 287, "l"))
    p.flow("M142 287H118V272", (118, 262, "u"))
    p.text(268, 316, "the server's receive queue;", "f", "middle")
    p.text(268, 331, "the client has one, too", "f", "middle")
    p.found("M72 359V382")
    p.tag(20, 384, 304, "/run/user/1000/ipclab/unix", "leads to the listening socket alone")


@picture(436, "What is where while a TCP connection is open",
         "Server and client. The server has two sockets: one that listens at 127.0.0.1, port 7777, with a backlog, and "
         "one that is connected to the client's. Each connected socket has a send buffer, whose bytes stay until the "
         "other side has acknowledged them, and a receive buffer. Between them is a network, here the loopback device: "
         "segments are numbered, acknowledged and sent again.")
def tcp(p):
    p.kernel(190, 184)
    p.process("r", 6, 6, 184, 172, "server", ["accept(3) = 4", "read(4, …) = 6"])
    p.process("s", 210, 6, 184, 172, "client", ["connect(3, addr)", 'write(3, "hello⏎", 6)'])
    p.table("r", 32, 100, [("0–2", "the terminal"), ("3", ""), ("4", "")])
    p.table("s", 236, 100, [("0–2", "the terminal"), ("3", "")])
    p.reference("r", "M32 130H24V314", (24, 315, "d"))
    p.open_file("r", 14, 316, ["listening", "backlog: 0"], 108, 42)
    p.open_file("r", 66, 216, ["socket", ":7777"], 104)
    p.open_file("s", 240, 216, ["socket", ":40312"], 104)
    p.reference("r", "M118 150V214", (118, 215, "d"))
    p.reference("s", "M292 130V214", (292, 215, "d"))
    p.tube(52, 268, 116, 30, "hello⏎", 4)
    p.tube(232, 268, 116, 30, "hello⏎", 4)
    p.flow("M232 283H180", (170, 283, "l"))
    p.text(202, 262, "network", "f", "middle")
    p.text(200, 316, "receive buffer", "f", "middle")
    p.text(300, 316, "send buffer", "f", "middle")
    p.text(282, 336, "kept until it is acknowledged;", "f", "middle")
    p.text(282, 351, "each side has both buffers", "f", "middle")
    p.flow("M372 178V283H358", (349, 283, "l"))
    p.flow("M52 283H12V190", (12, 180, "u"))
    p.found("M72 359V382")
    p.tag(20, 384, 304, "127.0.0.1:7777", "an address leads to the listening socket")


@picture(436, "What is where while datagrams are on their way",
         "Server and client. Each has one socket. The server's is bound to 127.0.0.1, port 7777, and takes the datagrams "
         "of all clients; it has a receive buffer, in which whole datagrams wait, each with the address that it came "
         "from. The client's socket is connected: it has noted the server's address, and no more. Between them is a "
         "network, here the loopback device. One datagram is on its way; another is lost, and no process is told. There is "
         "no send buffer that keeps a datagram until it has come.")
def udp(p):
    p.kernel(172, 202)
    two(p, ("server", ["recvfrom(3, …) = 9", "from :40312"]), ("client", ['send(3, "1 5 hello",', " 9)"]),
        [("0–2", "the terminal"), ("3", "")], [("0–2", "the terminal"), ("3", "")])
    p.open_file("r", 54, 196, ["socket", ":7777"])
    p.open_file("s", 230, 196, ["socket", ":40312 → :7777"])
    p.reference("r", "M112 130V195", (112, 195.5, "d"))
    p.reference("s", "M288 130V195", (288, 195.5, "d"))
    p.path("M112 236V257", stroke="l", thick=1.4)
    p.rect(48, 258, 142, 46, 8, fill="p", stroke="t", thick=1.6)
    p.message(54, 264, "1 5 hello", w=74, h=34)
    p.rect(134, 264, 50, 34, 3, stroke="l", dash="4 3")
    p.text(118, 322, "receive buffer: what has no", "f", "middle")
    p.text(118, 337, "room is thrown away", "f", "middle")
    p.flow("M48 281H20V170", (20, 159, "u"))
    p.flow("M380 158V281H200", (192, 281, "l"))
    p.text(276, 266, "network", "f", "middle")
    p.path("M316 281V318", stroke="u", thick=2.4, dash="4 3")
    p.path("M308 320l16 16M324 320l-16 16", stroke="t", thick=2)
    p.text(316, 356, "lost: no process is told", "f", "middle")
    p.found("M72 344V382")
    p.tag(20, 384, 304, "127.0.0.1:7777", "an address leads to the server's socket")


def queue(p, first, second, name, below):
    p.kernel(172, 160)
    two(p, first, second, [("0–2", "the terminal"), ("3", "")], [("0–2", "the terminal"), ("3", "")])
    p.reference("r", "M112 130V213", (112, 214, "d"))
    p.reference("s", "M288 130V213", (288, 214, "d"))
    p.rect(48, 216, 304, 62, 8, fill="p", stroke="t", thick=1.6)
    p.text(200, 205, "one queue", anchor="middle")
    p.flow("M48 246H20V170", (20, 159, "u"))
    p.flow("M380 158V246H362", (353, 246, "l"))
    p.found("M200 310V336")
    p.tag(48, 338, 304, name, below)


@picture(396, "What is where in a POSIX message queue",
         "Two processes, receiver and sender. In each, descriptor 3 leads to one queue in the kernel. The queue holds "
         "whole messages, sorted by priority: the highest first, and the oldest of those. The name leads to the queue, "
         "and the messages stay in it when no process has it open.")
def posixmq(p):
    queue(p, ("receiver", ["mq_receive(3, …) = 6", "priority 9"]), ("sender", ["mq_send(3, \"hello\",", " 5, priority 1)"]),
          "/ipclab-1000-posixmq", "the queue lives until mq_unlink, or a restart")
    for index, (text, priority) in enumerate((("urgent", "9"), ("hello", "1"), ("world", "1"))):
        p.message(60 + 72 * index, 224, text, priority)
    p.text(288, 266, "priority", "f")
    p.text(200, 298, "sorted: the highest priority is received first", "f", "middle")


@picture(396, "What is where in a System V message queue",
         "Two processes, receiver and sender. Neither has a descriptor: a number, which msgget made from a key, leads "
         "to one queue in the kernel. The queue holds whole messages in the order in which they came, each with a type. "
         "A receiver may ask for the first one of a type. The queue lives until it is removed, or the machine restarts.")
def sysvmq(p):
    p.kernel(172, 160)
    p.process("r", 6, 6, 184, 152, "receiver", ["msgget(key) = 5", "msgrcv(5, …, type 2)", "= 6"])
    p.process("s", 210, 6, 184, 152, "sender", ["msgget(key) = 5", "msgsnd(5, \"hello\",", " type 1)"])
    for x in (18, 222):
        p.text(x, 130, "5 is no descriptor: any", "f")
        p.text(x, 145, "process may use it", "f")
    p.rect(48, 216, 304, 62, 8, fill="p", stroke="t", thick=1.6)
    p.text(200, 205, "queue 5", anchor="middle")
    for index, (text, kind) in enumerate((("hello", "1"), ("urgent", "2"), ("world", "1"))):
        p.message(60 + 72 * index, 224, text, kind)
    p.text(288, 266, "type", "f")
    p.text(200, 298, "in the order in which they came; a type may be asked for", "f", "middle")
    p.flow("M48 246H20V170", (20, 159, "u"))
    p.flow("M380 158V246H362", (353, 246, "l"))
    p.found("M200 310V336")
    p.tag(48, 338, 304, "key 0x5c1f20a7", "a number that both have agreed upon")


def memory(p, calls, other, name, below, note):
    p.kernel(172, 168)
    p.process("r", 6, 6, 184, 152, "receiver", calls)
    p.process("s", 210, 6, 184, 152, "sender", other)
    for side, x, address in (("r", 32, "7f12…000"), ("s", 236, "7fa8…000")):
        p.text(x, 94, "address space", "f")
        p.rect(x, 100, 132, 20, fill="p", stroke="l")
        p.text(x + 8, 114, "code, heap, stack", "f")
        p.rect(x, 120, 132, 24, fill=side + "b", stroke=side)
        p.text(x + (8 if side == "r" else 34), 136, address, mono=True)
    p.reference("r", "M150 132V232", (150, 233, "d"))
    p.reference("s", "M250 132V232", (250, 233, "d"))
    p.text(200, 206, "the same", anchor="middle")
    p.text(200, 222, "pages", anchor="middle")
    p.pages(58, 236, 4)
    p.cells(150, 247, "hello")
    p.flow("M58 258H20V170", (20, 159, "u"))
    p.flow("M380 158V258H352", (343, 258, "l"))
    p.text(62, 298, "load: no call", "f")
    p.text(338, 298, "store: no call", "f", "end")
    p.text(200, 320, note, "f", "middle")
    p.found("M200 328V364")
    p.tag(48, 366, 304, name, below)


@picture(424, "What is where in shared memory",
         "Two processes, receiver and sender. Each has the same four pages of memory mapped, at different addresses. No "
         "system call carries a byte: the sender stores into the pages, the receiver loads from them. A process that waits "
         "needs something else to sleep on. The name in /dev/shm leads to the pages.")
def shm(p):
    memory(p, ["load the length", "copy the bytes out"], ["copy the bytes in", "store the length"],
           "/dev/shm/ipclab-1000-shm", "the pages live while it, or a mapping, does",
           "nothing here wakes anybody: a futex does")


@picture(232, "What is where in the ring",
         "The memory begins with a header: the magic, the two process ids, the state, head and tail. Then comes the data. "
         "Tail is 9: the receiver has read bytes 0 to 8. Head is 34: the sender has written bytes 9 to 33, a length and 21 "
         "bytes, which wait to be read. All other room is free, and at its end the ring goes on at its beginning.")
def ring(p):
    p.text(8, 18, "header, 384 bytes", "f")
    for x, w, text, side in ((8, 70, "ipc-ring", "l"), (78, 92, "pids, state", "l"), (170, 68, "head 34", "s"),
                             (238, 68, "tail 9", "r")):
        p.rect(x, 26, w, 26, fill=side + "b" if side != "l" else "p", stroke=side, thick=1.4)
        p.text(x + w / 2, 43, text, anchor="middle", mono=True)
    p.rect(306, 26, 86, 26, fill="k", stroke="l", thick=1.4)
    p.text(349, 43, "data …", "f", "middle")
    p.text(8, 84, "data: byte n of all that was ever sent lies at n % capacity", "f")
    p.rect(8, 92, 384, 44, fill="p", stroke="t", thick=1.6)
    p.rect(9, 93, 71, 42, fill="k")
    p.text(44, 119, "read", "f", "middle")
    p.rect(80, 93, 44, 42, fill="ub", stroke="u", thick=1.4)
    p.text(102, 119, "21", anchor="middle", mono=True)
    p.rect(124, 93, 158, 42, fill="ub", stroke="u", thick=1.4)
    p.text(203, 119, "through shared memory", anchor="middle", mono=True)
    p.text(337, 119, "free", "f", "middle")
    p.reference("r", "M80 172V140", (80, 139, "u"))
    p.text(80, 188, "tail: the receiver's", "r", "middle", bold=True)
    p.reference("s", "M282 172V140", (282, 139, "u"))
    p.text(282, 188, "head: the sender's", "s", "middle", bold=True)
    p.found("M386 138V204H14V138")
    p.text(200, 222, "the end goes on at the beginning", "f", "middle")


@picture(424, "What is where in a mapped file",
         "Two processes, receiver and sender. Each has the same pages of a file mapped, at different addresses: the "
         "pages of the page cache themselves. The sender stores into them, the receiver loads from them. The kernel "
         "writes changed pages to the disk later, or when msync asks for it.")
def mmap(p):
    memory(p, ["load the length", "copy the bytes out"], ["copy the bytes in", "store the length"],
           "/run/user/1000/ipclab/mmap", "a file, as long as its name or a mapping lasts",
           "the file's own pages; the disk gets them later")


@picture(436, "What is where around a bounded buffer",
         "Two workers and a producer. All three have the same pages mapped. In them lie a mutex, two condition variables, "
         "and eight slots, of which three are filled: five messages were taken, eight were put. The producer has the "
         "mutex. One worker sleeps at the mutex, the other at the condition not_empty. A name in /dev/shm leads to the "
         "pages.")
def mutex(p):
    p.process("r", 6, 6, 122, 100, "worker", ["wait: sleeps", "until it is", "signalled"])
    p.process("r", 139, 6, 122, 100, "worker", ["lock: sleeps", "until it is", "unlocked"])
    p.process("s", 272, 6, 122, 100, "producer", ["lock, put,", "signal,", "unlock"])
    p.rect(0, 142, 400, 210, 8, fill="k")
    p.rect(274, 196, 112, 46, 6, fill="sb", stroke="s", thick=1.6)
    p.text(330, 214, "mutex", "s", "middle", bold=True)
    p.text(330, 232, "the producer's", "f", "middle")
    for x, name in ((14, "not_empty"), (144, "not_full")):
        p.rect(x, 196, 112, 46, 6, fill="p", stroke="t", thick=1.4)
        p.text(x + 56, 214, name, anchor="middle", mono=True)
        p.text(x + 56, 232, "nobody sleeps" if name == "not_full" else "one sleeps", "f", "middle")
    p.reference("s", "M333 106V192", (333, 193, "d"))
    p.path("M200 106V176H292V188", stroke="r", thick=1.4, dash="4 3")
    p.path("M288 184L292 191L296 184", stroke="r", thick=1.4)
    p.path("M70 106V188", stroke="r", thick=1.4, dash="4 3")
    p.path("M66 184L70 191L74 184", stroke="r", thick=1.4)
    p.text(14, 268, "8 slots", "f")
    p.text(386, 268, "pages that all three have mapped", "f", "end")
    for index in range(8):
        full = index in (5, 6, 7)
        p.rect(14 + 46.5 * index, 280, 46.5, 30, fill="ub" if full else "p", stroke="u" if full else "l",
               thick=1.4)
        p.text(14 + 46.5 * index + 23, 299, f"job {index + 1}" if full else "", anchor="middle", mono=True)
    p.text(246, 330, "taken = 5: the next to take", "r", "middle", bold=True)
    p.text(200, 346, "put = 8: the next slot is the first again", "s", "middle", bold=True)
    p.found("M200 352V378")
    p.tag(48, 380, 304, "/dev/shm/ipclab-1000-mutex", "a name leads to the pages")


@picture(336, "What is where while an eventfd is open",
         "Two processes, waiter and notifier. Descriptor 3 of the waiter and descriptor 4 of the notifier lead to one "
         "eventfd in the kernel, which holds a number of 64 bits, here 3. write adds to the number, read takes from "
         "it. The eventfd has no name: the notifier got its descriptor over a Unix socket.")
def eventfd(p):
    p.kernel(172, 158)
    two(p, ("waiter", ["read(3, …) = 8", "the number 3"]), ("notifier", ["write(4, 3, 8)", "= 8"]),
        [("0–2", "the terminal"), ("3", "")], [("3", "to the waiter"), ("4", "")])
    p.reference("r", "M112 130V214H140", (141, 214, "r"))
    p.reference("s", "M288 130V214H260", (259, 214, "l"))
    p.open_file("u", 142, 196, ["one eventfd"], h=88)
    p.rect(162, 222, 76, 26, 3, fill="ub", stroke="u", thick=1.4)
    p.text(200, 239, "3", anchor="middle", mono=True, bold=True)
    p.text(200, 268, "the counter", "f", "middle")
    p.flow("M162 235H20V170", (20, 159, "u"))
    p.flow("M380 158V235H250", (240, 235, "l"))
    p.text(76, 262, "read takes", "f", "middle")
    p.text(324, 262, "write adds", "f", "middle")
    p.text(200, 304, "No name: the descriptor was passed over a Unix", "f", "middle")
    p.text(200, 320, "socket (SCM_RIGHTS), or is inherited.", "f", "middle")


@picture(448, "What is where after a descriptor was passed",
         "Server, worker and client. Descriptor 7 of the server and descriptor 4 of the worker lead to one and the same "
         "open file: the connection to the client, who has sent hello. The message that carried the descriptor went "
         "through a Unix socket.")
def fdpass(p):
    p.kernel(172, 226)
    two(p, ("server", ['sendmsg(5, "x",', " SCM_RIGHTS [7])"]), ("worker", ["recvmsg(3) = 1", "SCM_RIGHTS [4]"]),
        [("5", "to the worker"), ("7", "")], [("3", "to the server"), ("4", "")], side="g")
    p.reference("r", "M112 130V266H140", (141, 266, "r"))
    p.reference("g", "M288 130V266H260", (259, 266, "l"))
    p.open_file("u", 142, 236, ["one socket"], h=60)
    p.text(200, 283, "of both", "f", "middle")
    p.text(200, 206, "two numbers,", "f", "middle")
    p.text(200, 222, "one connection", "f", "middle")
    p.reference("u", "M200 296V329", (200, 330, "d"))
    p.tube(58, 332, 284, 44, "hello⏎")
    p.text(200, 391, "what the client has sent", "f", "middle")
    p.process("s", 282, 408, 112, 36, "client")
    p.flow("M380 408V354H352", (343, 354, "l"))


@picture(382, "What is where while a reader copies",
         "Two processes, target and reader, each with memory of its own. The target's memory has the word hello. The "
         "reader calls process_vm_readv with the target's process number and the address: the kernel copies the bytes "
         "once, straight from the target's memory into the reader's. The target calls nothing. A file tells the "
         "target's number and where to look.")
def procvm(p):
    p.kernel(172, 128)
    p.process("r", 6, 6, 184, 152, "target", ["sleeps, or does", "what it likes"], "712")
    p.process("s", 210, 6, 184, 152, "reader", ["process_vm_readv(", " 712, 5 at 55d3…) = 5"])
    for side, x, address in (("r", 32, "55d3…"), ("s", 236, "7ffe…")):
        p.text(x, 94, "memory", "f")
        p.rect(x, 100, 132, 20, fill="p", stroke="l")
        p.text(x + 8, 114, "code, heap, stack", "f")
        p.rect(x, 120, 132, 28, fill=side + "b", stroke=side)
        p.text(x + 6, 138, address, mono=True)
        p.cells(x + 44, 123, "hello")
    p.flow("M118 150V214H322V162", (322, 151, "u"))
    p.text(220, 206, "one copy", anchor="middle", bold=True)
    p.text(200, 244, "No buffer in the kernel, no call of the target's.", "f", "middle")
    p.text(200, 262, "That a message is there, and that it is taken, is", "f", "middle")
    p.text(200, 278, "told by two eventfds (pidfd_getfd).", "f", "middle")
    p.found("M10 158V344H47")
    p.tag(48, 320, 304, "…/ipclab/procvm", "712, its start, an address, two descriptors")


@picture(392, "What is where while a server waits for many clients",
         "One server and three clients. The server has a connected socket for each client, and one call, poll or "
         "epoll_wait, that sleeps until any of them is ready. Here bytes of client B have come: the call returns, and "
         "says that descriptor 5 can be read. The other clients are silent; no thread waits for each of them.")
def multiplex(p):
    p.kernel(190, 132, x=290)
    p.process("r", 6, 6, 388, 172, "server", ["poll([3, 4, 5, 6]) = 1", "5 is ready: read(5, …) = 5"])
    p.table("r", 226, 66, [("3", "listening"), ("4", "client A"), ("5", ""), ("6", "client C")], 150)
    p.text(264, 120, "client B")
    for index, (name, side) in enumerate((("A", "l"), ("B", "s"), ("C", "l"))):
        x = 20 + 128 * index
        p.open_file(side, x, 222, ["socket"], 104, 26)
        p.tube(x, 262, 104, 30, "hello" if name == "B" else "", 6)
        p.process("s", x, 340, 104, 46, f"client {name}", [])
        p.path(f"M{x+52} 248V261", stroke="l", thick=1.4)
    p.reference("r", "M226 116H200V220", (200, 221, "d"))
    p.path("M226 96H72V221", stroke="l", thick=1.2)
    p.path("M376 136H386V210H328V221", stroke="l", thick=1.2)
    p.flow("M200 340V306", (200, 296, "u"))
    p.text(212, 320, "write", "f")
    p.text(72, 310, "silent", "f", "middle")
    p.text(328, 310, "silent", "f", "middle")


@picture(356, "What is where in a semaphore",
         "Two processes, waiter and poster. A semaphore is a number that is never below zero, and a list of processes "
         "that sleep until it is above. sem_wait takes one away, and sleeps while the number is zero; sem_post adds "
         "one, and wakes one that sleeps. For a POSIX semaphore the number is in memory that both have mapped, and the "
         "kernel is asked only if a process must sleep or be woken.")
def semaphore(p):
    p.kernel(126, 166)
    p.process("r", 6, 6, 184, 106, "waiter", ["sem_wait(s)", "sleeps while it is 0"])
    p.process("s", 210, 6, 184, 106, "poster", ["sem_post(s)", "wakes one"])
    p.rect(150, 156, 100, 56, 8, fill="p", stroke="t", thick=1.6)
    p.text(200, 180, "0", anchor="middle", mono=True, bold=True)
    p.text(200, 200, "the value", "f", "middle")
    p.reference("r", "M98 112V184H148", (149, 184, "r"))
    p.reference("s", "M302 112V184H252", (251, 184, "l"))
    p.text(76, 172, "− 1", "r", bold=True)
    p.text(310, 172, "+ 1", "s", bold=True)
    p.path("M200 212V236", stroke="l", thick=1.4)
    p.message(100, 238, "waiter", w=92)
    p.rect(208, 238, 92, 26, 3, stroke="l", dash="4 3")
    p.text(200, 282, "the processes that sleep on it", "f", "middle")
    p.found("M250 200H372V300")
    p.tag(48, 300, 340, "/dev/shm/sem.ipclab-1000-semaphore", "a name leads to it; a pointer does, too")


@picture(410, "What is where on a message bus",
         "Server, bus and client. Each program has one Unix socket, which is connected to the bus. The server owns a "
         "name on the bus. The client sends a call to that name; the bus looks up who owns it, and hands the message "
         "on. The reply goes the same way back, and carries the number of the call.")
def dbus(p):
    p.process("r", 6, 6, 150, 112, "server", ["owns", "org.ipclab.Board"])
    p.process("s", 244, 6, 150, 112, "client", ["calls Post(s) of", "org.ipclab.Board"])
    p.kernel(134, 92)
    p.tube(24, 164, 116, 34, "", 8)
    p.tube(262, 164, 116, 34, "", 8)
    p.message(46, 168, "call 7", w=66)
    p.message(290, 168, "call 7", w=66)
    p.text(200, 186, "Unix sockets", "f", "middle")
    p.flow("M320 118V152", (320, 162, "d"))
    p.flow("M320 198V244H264", (254, 244, "l"))
    p.flow("M148 252H80V210", (80, 200, "u"))
    p.flow("M80 164V132", (80, 121, "u"))
    p.process("u", 150, 234, 102, 54, "bus", [])
    p.text(201, 278, "routes by name", "f", "middle")
    p.text(200, 312, "the reply goes the same way back, with the number 7", "f", "middle")
    p.found("M200 320V350")
    p.tag(48, 352, 304, "unix:path=/run/user/1000/bus", "the address of the bus: both have it")


@picture(318, "What is where in an MPI job",
         "The launcher, mpiexec, starts two processes of the same program. Each knows its rank, 0 or 1, in a "
         "communicator of size 2. MPI_Send of rank 1 meets MPI_Recv of rank 0 by rank, tag and communicator. How the "
         "bytes travel is the library's affair: shared memory on one machine, a network between two.")
def mpi(p):
    p.process("u", 118, 6, 164, 40, "mpiexec -n 2", [])
    p.path("M150 46V84M250 46V84", stroke="l", thick=1.4)
    p.process("r", 6, 86, 184, 96, "rank 0", ["MPI_Recv(&n, from 1,", " tag)"])
    p.process("s", 210, 86, 184, 96, "rank 1", ["MPI_Send(&n, to 0,", " tag)"])
    p.rect(0, 200, 400, 80, 8, fill="k")
    p.text(200, 222, "MPI_COMM_WORLD", "f", "middle")
    p.flow("M304 182V250H106V200", (106, 189, "u"))
    p.message(150, 236, "4711", w=92)
    p.text(200, 300, "matched by rank, tag and communicator", "f", "middle")


def figures():
    """Each row of the captured tables: the page, the bold title above it, and the row's cells."""
    for page in sorted(FIGURES.glob("*.md")):
        title = ""
        for line in page.read_text(encoding="utf-8").splitlines():
            title = line.strip("*") if line.startswith("**") else title
            cells = [cell.strip() for cell in line.split("|")[1:-1]]
            if len(cells) > 2 and cells[1] not in ("size", "figure", "--:"):
                yield page.stem, title, cells


UNITS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "/s": 1, "k/s": 1e3, "M/s": 1e6, "MB/s": 1e6, "GB/s": 1e9,
         "B": 1, "KiB": 1024, "MiB": 1 << 20}


def number(text):
    """`1.92 µs` in seconds, or None."""
    words = text.replace(",", "").split()
    return float(words[0]) * UNITS[words[1]] if len(words) > 1 and words[1] in UNITS else None


# What these carry is shorter than 64 bytes: the size stands beside the name.
SHORT = {("eventfd", "8 B"), ("signal", "0 B")}


def costs():
    """What a round trip of 64 bytes costs on one CPU, of each mechanism: from the captured figures."""
    found = []
    for page, title, cells in figures():
        short = (page, cells[1]) in SHORT
        if title == "Both on one CPU" and (cells[1] == "64 B" or short) and cells[3].startswith("**"):
            found.append((f"{cells[0]}, {cells[1]}" if short else cells[0], float(cells[3].split("**")[1]), page))
    return sorted(found, key=lambda cost: cost[1])


def cost(chapter, all_costs):
    """A bar each, in multiples of two context switches; this chapter's bars are marked."""
    words = ", ".join(f"{name} {ratio:g}" for name, ratio, _ in all_costs)
    among = f": {chapter} among the others" if chapter else ""
    p = Picture(f"cost-{chapter or 'all'}", 40 + 20 * len(all_costs), f"What a round trip of 64 bytes costs{among}",
                f"In multiples of two context switches on one CPU: {words}.")
    left, scale, most = 118, 56, 4.6
    p.found(f"M{left+scale} 24V{36 + 20 * len(all_costs)}")
    p.text(left + scale, 16, "1: two context switches", "f", "middle")
    for index, (name, ratio, of) in enumerate(all_costs):
        top, mine = 30 + 20 * index, of == chapter
        width = round(min(ratio, most) * scale, 1)
        p.text(left - 8, top + 12, name, "t", "end", bold=mine)
        p.rect(left, top, width, 14, 2, fill="sb" if mine else "k2", stroke="s" if mine else "l", thick=1.2)
        if ratio > most:
            p.path(f"M{left+width-24} {top-2}l6 18M{left+width-17} {top-2}l6 18", stroke="t", thick=1.4)
        p.text(left + width + (-62 if ratio > most else 6), top + 12, f"{ratio:g}", "t", bold=mine)
    return p


PLACES = {"Both on one CPU": " (one CPU)", "On two CPUs, kept awake; the side that waits sleeps": " (two CPUs)"}


def captured(kind):
    """The single operations, or the servers: what, as captured, as a number, of which page."""
    for page, title, cells in figures():
        value = number(cells[1])
        if title.startswith(kind) and value is not None:
            shown = " ".join(cells[1].split()[:2])
            yield cells[0] + PLACES.get(title[len(kind) + 2:], ""), shown, value, page


def chart(name, title, words, note, bars, width, decades=()):
    """A bar each, below its name: `bars` are what, as captured, as a number, and whether it is marked.
    On a scale of `decades` there is no 0 for a bar to begin at: there it is a dot."""
    p = Picture(name, 28 + 32 * len(bars), title,
                words + " " + "; ".join(f"{what}: {shown}" for what, shown, _, _ in bars) + ".")
    p.text(1, 14, note, "f")
    for value, label in decades:
        p.path(f"M{width(value)} 24V{28 + 32 * len(bars)}", stroke="k2")
        p.text(width(value), 14, label, "f", "middle")
    for index, (what, shown, value, mine) in enumerate(bars):
        top = 24 + 32 * index
        p.text(1, top + 11, what, "t", bold=mine)
        length = round(max(width(value), 2), 1)
        paint = dict(fill="sb" if mine else "k2", stroke="s" if mine else "l", thick=1.2)
        if decades:
            p.path(f"M1 {top+21}H{length}", stroke="k2", thick=1.2)
            p.add("circle", cx=length, cy=top + 21, r=5, **paint)
        else:
            p.rect(1, top + 15, length, 12, 2, **paint)
        p.text(length + 10, top + 25, shown, "t", bold=mine)
    return p


# What a chapter's operations stand beside, measured on the same machine; its own are marked.
BESIDE = {
    "spawn": ("write and read 64 B of a pipe", "futex wake until the sleeper runs (one CPU)",
              "unix connect, accept, close", "tcp connect, accept, close"),
    "semaphore": ("write and read 64 B of a pipe", "unix connect, accept, close", "tcp connect, accept, close",
                  "fork, exit, wait"),
    "procvm": ("write and read 32 KiB of a pipe", "copy 32 KiB of shared memory"),
    "fdpass": ("write and read 64 B of a pipe", "unix connect, accept, close", "tcp connect, accept, close",
               "fork, exit, wait"),
}


def operations(chapter):
    """What a chapter's operations cost, beside some of others. Of descriptors that pass, the time of one."""
    rows = {}
    for what, shown, value, of in captured("Single operations"):
        what = {"write and read 64 B": "write and read 64 B of a pipe"}.get(what, what)
        if shown.endswith("/s"):
            what, value = f"{what}: each", 1 / value
            shown = f"{value * 1e9:.3g} ns" if value < 1e-6 else f"{value * 1e6:.3g} µs"
        beside = what in BESIDE[chapter]
        if of == chapter or beside:
            rows[what] = (what, shown, value, not beside)
    bars = sorted(rows.values(), key=lambda bar: bar[2])
    return chart(f"cost-{chapter}", f"What single operations cost: those of {chapter} beside others",
                 "Median times, on a logarithmic scale.", "", bars,
                 lambda value: round(64 * (math.log10(value) + 8.1), 1),
                 [(1e-7, "100 ns"), (1e-6, "1 µs"), (1e-5, "10 µs"), (1e-4, "100 µs")])


def servers():
    """What a server of each loop answers to one busy client, the more others are idle."""
    rows = {what: (shown, value) for what, shown, value, of in captured("As a server. Both on one CPU")
            if of == "multiplex"}
    bars = []
    for loop, idle in (("select", "10"), ("poll", "10"), ("epoll", "10"), ("select", "900"), ("poll", "1,000"),
                       ("epoll", "1,000"), ("poll", "10,000"), ("epoll", "10,000")):
        shown, value = rows[f"multiplex {loop}, 64 B, 1 busy, {idle} idle"]
        bars.append((f"{loop}, {idle} idle clients", shown, value, loop == "epoll"))
    return chart("cost-multiplex", "What a server answers while many clients are idle",
                 "Answers a second to one client, on one CPU, by the loop of the server.",
                 "answers a second to one client", bars, lambda value: value / 253e3 * 320)


# A line each: the row's name, how it is dashed, and whether the kernel copies the bytes.
LINES = (("shm", None, False), ("pipe", None, True), ("unix stream", "7 3", True), ("tcp", "2 3", True),
         ("posixmq", "9 3 2 3", True))


def throughput():
    """How many bytes a second go one way, against the size of a message, both axes logarithmic."""
    rows = {}
    for _, title, cells in figures():
        value = number(cells[4].split(",")[0]) if title == "Both on one CPU" and len(cells) > 5 else None
        if value is not None and cells[0] in [name for name, *_ in LINES]:
            rows.setdefault(cells[0], []).append((number(cells[1]), value, cells[4].split(",")[0], cells[1]))
    words = "; ".join(f"{name}: " + ", ".join(f"{shown} at {size}" for _, _, shown, size in row)
                      for name, row in rows.items())
    p = Picture("throughput", 292, "Bytes a second one way, against the size of a message",
                f"Both processes on one CPU, both axes logarithmic. {words}.")
    across = lambda size: round(64 + (math.log2(size) - 6) * 17.6, 1)
    up = lambda value: round(252 - (math.log10(value) - 7.7) * 92, 1)
    for value, label in ((1e8, "100 MB/s"), (1e9, "1 GB/s"), (1e10, "10 GB/s")):
        p.path(f"M64 {up(value)}H311", stroke="k2")
        p.text(1, up(value) + 4, label, "f")
    for size, label in ((64, "64 B"), (4096, "4 KiB"), (65536, "64 KiB"), (1 << 20, "1 MiB")):
        p.path(f"M{across(size)} 24V252", stroke="k2")
        p.text(across(size), 268, label, "f", "middle")
    p.text(182, 286, "size of a message", "f", "middle")
    p.text(1, 14, "one way, on one CPU", "f")
    ends = []
    for name, dash, copied in LINES:
        points = [(across(size), up(value)) for size, value, _, _ in rows[name]]
        colour = "u" if copied else "t"
        p.path("M" + "L".join(f"{x} {y}" for x, y in points), stroke=colour, thick=2, dash=dash)
        for x, y in points:
            p.add("circle", cx=x, cy=y, r=3, fill=colour)
        ends.append([points[-1][1], points[-1][0], name, colour])
    # A name stands beside its line's end, and below the name above it.
    lowest = {}
    for y, x, name, colour in sorted(ends):
        y = max(y + 4, lowest.get(x, 0) + 14)
        lowest[x] = y
        p.text(x + 8, y, name, colour, bold=True)
    return p


def waits():
    """What half of the answers and 99 of 100 take: the same servers in a closed loop and in an open one."""
    rows = {cells[0]: cells for page, title, cells in figures() if title == "As a server. Both on one CPU"}
    shown = []
    for server, load in (("multiplex epoll", "64 B, 1 busy, 0 idle"), ("tcp threads", "64 B, 64 busy, 0 idle")):
        for loop in ("", "open loop at 50 %, ", "open loop at 80 %, "):
            _, _, half, most, *_ = rows[f"{server}, {loop}{load}"]
            clients = "1 client" if " 1 busy" in load else "64 clients"
            shown.append((f"{server}, {clients}: {loop.rstrip(', ') or 'closed loop'}", half, most, bool(loop)))
    p = Picture("waits", 40 + 32 * len(shown), "How long clients wait: the same server in a closed and in an open loop",
                "Half of the answers take no longer than the first time, 99 of 100 no longer than the second: "
                + "; ".join(f"{what}: {half} and {most}" for what, half, most, _ in shown) + ".")
    across = lambda value: round(20 + 78 * (math.log10(value) + 5.7), 1)
    for value, label in ((1e-5, "10 µs"), (1e-4, "100 µs"), (1e-3, "1 ms"), (1e-2, "10 ms")):
        p.path(f"M{across(value)} 24V{28 + 32 * len(shown)}", stroke="k2")
        p.text(across(value), 14, label, "f", "middle")
    for index, (what, half, most, is_open) in enumerate(shown):
        top = 24 + 32 * index
        x1, x2 = across(number(half)), across(number(most))
        p.text(1, top + 11, what)
        paint = dict(fill="ub" if is_open else "k2", stroke="u" if is_open else "l", thick=1.2)
        p.path(f"M{x1} {top+22}H{x2}", stroke="u" if is_open else "l", thick=2)
        p.add("circle", cx=x1, cy=top + 22, r=4, **paint)
        p.add("circle", cx=x2, cy=top + 22, r=6, **paint)
        p.text(x2 + 11, top + 26, most)
    p.text(1, 36 + 32 * len(shown), "small: half of the answers; large: 99 of 100", "f")
    return p


FIGURES = pathlib.Path(__file__).parent.parent / "figures"

if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    bars = costs()
    # A page has one chart: that of its round trips, or else of its operations.
    charts = [cost(chapter, bars) for chapter in sorted({of for _, _, of in bars} | {""})]
    charts += [operations(chapter) for chapter in BESIDE]
    charts += [servers(), throughput(), waits()]
    for drawn in PICTURES + charts:
        (folder / f"{drawn.name}.svg").write_text(drawn.svg(), encoding="utf-8")
