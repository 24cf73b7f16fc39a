//! The exercises of the chapter dbus. Their programs do by hand what a library does elsewhere.

use bare::{Language, MeetingPlace};

use super::row::{Begin, Ends, Exercise, Kind, Stage, Wrong};

mod message;
mod play;

use message::Message;
use play::{
    answer, caller, client, in_pieces, listen, messages, one_by_one, read_call,
    reader,
};

/// The exercises.
pub(super) const ALL: &[Exercise] = &[FRAME, CALLER, ANSWER];

const FRAME: Exercise = Exercise {
    name: "frame",
    title: "a reader that finds where each message begins",
    kind: Kind::Write,
    minutes: 10,
    after: &[],
    task: include_str!("dbus/frame/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("dbus/frame/solution.rs")),
        Some(include_str!("dbus/frame/solution.c")),
        Some(include_str!("dbus/frame/solution.py")),
    ],
    reasons: "A stream has no marks: the first 16 bytes of a message say how many follow. Each \
              read may return less than was asked for, so each is repeated until all bytes are \
              there. An end of file is well between two messages, and nowhere else.",
    hints: [
        "Read 16 bytes, then as many as they say: the fields, up to a multiple of 8, and the body.",
        "read returns what is there: fewer bytes than you ask for, even within the first 16. Ask \
         for the rest, until you have all.",
        "Byte 0 tells the order of the bytes of each number, and may differ from message to \
         message.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "three messages, each written at once",
            players: |scene| reader(scene, Ends::Well),
            partner: one_by_one,
            hint: 1,
        },
        Stage {
            name: "joined",
            about: "three messages in one write",
            players: |scene| reader(scene, Ends::Well),
            partner: |partner| {
                let peer = listen(partner)?;
                let all: Vec<_> =
                    messages(&partner.scene).iter().map(Message::bytes).collect();
                partner.write(&peer, &all.concat(), "three messages")
            },
            hint: 1,
        },
        Stage {
            name: "order",
            about: "one of three messages has its high bytes first",
            players: |scene| reader(scene, Ends::Well),
            partner: one_by_one,
            hint: 3,
        },
        Stage {
            name: "halves",
            about: "messages come in pieces, cut within a length and within a body",
            players: |scene| reader(scene, Ends::Well),
            partner: in_pieces,
            hint: 2,
        },
        Stage {
            name: "large",
            about: "a message of more than 300,000 bytes",
            players: |scene| reader(scene, Ends::Well),
            partner: one_by_one,
            hint: 2,
        },
        Stage {
            name: "cut",
            about: "the peer closes within the body of the third message",
            players: |scene| reader(scene, Ends::Failing),
            partner: |partner| {
                let peer = listen(partner)?;
                let all: Vec<_> =
                    messages(&partner.scene).iter().map(Message::bytes).collect();
                let bytes = all.concat();
                let piece = &bytes[..bytes.len() - 2];
                partner.write(&peer, piece, "two bytes are missing, on purpose")
            },
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "counts no padding",
            stage: "plain",
            language: Language::Python,
            edits: &[("(fields + 7) // 8 * 8 + body", "fields + body")],
        },
        Wrong {
            what: "takes a read for a message",
            stage: "joined",
            language: Language::Python,
            edits: &[
                ("head := read_all(peer, 16)", "head := peer.recv(65536)[:16]"),
                ("rest = len(read_all(peer, length))", "rest = length"),
            ],
        },
        Wrong {
            what: "expects the low byte first",
            stage: "order",
            language: Language::Python,
            edits: &[("\">\" if head[:1] == b\"B\" else \"<\"", "\"<\"")],
        },
        Wrong {
            what: "expects all that it asks for",
            stage: "halves",
            language: Language::Python,
            edits: &[(
                "    while len(data) < length and (part",
                "    if len(data) < length and (part",
            )],
        },
        Wrong {
            what: "reads a body of 65,536 bytes at most",
            stage: "large",
            language: Language::Python,
            edits: &[(
                "rest = len(read_all(peer, length))",
                "rest = len(read_all(peer, min(length, 65536)))\n            length = rest",
            )],
        },
        Wrong {
            what: "takes any end of file for a good one",
            stage: "cut",
            language: Language::Python,
            edits: &[(
                "            sys.exit(\"the peer has closed within a message\")",
                "            sys.exit(0)",
            )],
        },
    ],
};

const CALLER: Exercise = Exercise {
    name: "call",
    title: "a method call, byte by byte",
    kind: Kind::Write,
    minutes: 25,
    after: &["dbus/frame"],
    task: include_str!("dbus/call/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("dbus/call/solution.rs")),
        None,
        Some(include_str!("dbus/call/solution.py")),
    ],
    reasons: "A value begins at a multiple of its own size, so that a receiver may use it where it \
              is: structs at 8, numbers of 32 bits at 4. The zeros before a field count in the length \
              of the fields; those before the body do not. The fields begin at byte 16, so that they \
              can be made by themselves.",
    hints: [
        "Make the fields first, the body next, and the first 16 bytes last: then the lengths are \
         known.",
        "Before each field, and before the body, zeros up to a multiple of 8 bytes. None behind \
         the last field that its length would count.",
        "A string's length is its number of bytes, not of letters, and without the 0 behind it.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a call of Post with the text hello",
            players: |scene| caller(scene),
            partner: read_call,
            hint: 1,
        },
        Stage {
            name: "padding",
            about: "a method whose name has another length",
            players: |scene| caller(scene),
            partner: read_call,
            hint: 2,
        },
        Stage {
            name: "letters",
            about: "a text with letters of two and three bytes",
            players: |scene| caller(scene),
            partner: read_call,
            hint: 3,
        },
        Stage {
            name: "empty",
            about: "an empty text",
            players: |scene| caller(scene),
            partner: read_call,
            hint: 3,
        },
        Stage {
            name: "long",
            about: "a text of 70,000 bytes",
            players: |scene| caller(scene),
            partner: read_call,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "has no serial",
            stage: "plain",
            language: Language::Python,
            edits: &[("len(body), 1, len(fields)", "len(body), 0, len(fields)")],
        },
        Wrong {
            what: "counts the padding of the body",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "len(body), 1, len(fields)",
                "len(body), 1, len(padded(fields))",
            )],
        },
        Wrong {
            what: "is made for names of four letters",
            stage: "padding",
            language: Language::Python,
            edits: &[(
                "    fields = padded(fields) + b\"\\x08",
                "    fields = fields + bytes(3) + b\"\\x08",
            )],
        },
        Wrong {
            what: "counts letters",
            stage: "letters",
            language: Language::Python,
            edits: &[(
                "struct.pack(\"<I\", len(data))",
                "struct.pack(\"<I\", len(text))",
            )],
        },
        Wrong {
            what: "sends no body if there is no text",
            stage: "empty",
            language: Language::Python,
            edits: &[(
                "    body = string(text)",
                "    body = string(text) if text else b\"\"",
            )],
        },
        Wrong {
            what: "has a length of 16 bits",
            stage: "long",
            language: Language::Python,
            edits: &[(
                "struct.pack(\"<I\", len(data))",
                "struct.pack(\"<I\", len(data) % 65536)",
            )],
        },
    ],
};

const ANSWER: Exercise = Exercise {
    name: "reply",
    title: "a client that knows the reply to its own call",
    kind: Kind::Mend,
    minutes: 30,
    after: &["dbus/call"],
    task: include_str!("dbus/reply/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("dbus/reply/solution.rs")),
        None,
        Some(include_str!("dbus/reply/solution.py")),
    ],
    reasons: "One connection carries the answers to several calls, and signals between them. The \
              serial is what joins an answer and its call; the order is not. An error is an \
              answer, too: who waits for a message of type 2 alone waits for ever.",
    hints: [
        "Receive in a loop, and look at the type in byte 1 of each message.",
        "Go through the header fields: each has a code, a letter and a value; the letter says how \
         long the value is. Field 5 is the serial of the call that is answered.",
        "Type 2 with your serial: print. Type 3 with your serial: field 4, and status 1. All else: \
         receive the next message. The end of the stream is a failure.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "the reply comes at once",
            players: |scene| client(scene, Ends::Well),
            partner: answer,
            hint: 1,
        },
        Stage {
            name: "signal",
            about: "two signals come before the reply",
            players: |scene| client(scene, Ends::Well),
            partner: answer,
            hint: 1,
        },
        Stage {
            name: "other",
            about: "a reply to another call comes before yours",
            players: |scene| client(scene, Ends::Well),
            partner: answer,
            hint: 2,
        },
        Stage {
            name: "error",
            about: "the answer is an error",
            players: |scene| client(scene, Ends::Failing),
            partner: answer,
            hint: 3,
        },
        Stage {
            name: "dead",
            about: "the server closes, and has not answered",
            players: |scene| client(scene, Ends::Failing),
            partner: answer,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "calls another method",
            stage: "plain",
            language: Language::Python,
            edits: &[("(3, b\"s\", \"Post\")", "(3, b\"s\", \"Poke\")")],
        },
        Wrong {
            what: "takes any message for the reply",
            stage: "signal",
            language: Language::Python,
            edits: &[(
                "        if head[1] == 2 and serial == SERIAL:\n",
                "        if True:\n",
            )],
        },
        Wrong {
            what: "takes any reply for its own",
            stage: "other",
            language: Language::Python,
            edits: &[("head[1] == 2 and serial == SERIAL", "head[1] == 2")],
        },
        Wrong {
            what: "waits for a reply alone",
            stage: "error",
            language: Language::Python,
            edits: &[("head[1] == 3 and serial == SERIAL", "head[1] == 5")],
        },
        Wrong {
            what: "prints 0 where the server has closed",
            stage: "dead",
            language: Language::Python,
            edits: &[(
                "        sys.exit(\"the server has closed\")",
                "        print(0)\n        sys.exit(0)",
            )],
        },
    ],
};
