//! The figures on the pages: made from a report, one placement a table.

mod support;

use serde_json::{Value, json};
use support::*;

fn row(subject: &str, what: &str, placement: Option<&str>, outcome: Value) -> Value {
    json!({
        "chapter": "pipe", "subject": subject, "what": what, "program": "ipclab",
        "placement": placement, "size": 64, "clients": null, "idle": null,
        "outcome": outcome,
    })
}

fn measured(value: f64, unit: &str, to: &str) -> Value {
    json!({ "measured": {
        "value": value, "unit": unit, "min": value, "max": value, "windows": 9,
        "messages": null, "percentiles": null, "switches": null, "noisy": null,
        "ratios": [{ "to": to, "median": 1.25, "min": 1.0, "max": 2.0, "pairs": 9 }],
    }})
}

fn report(schema: u32) -> Value {
    let time = |value, to| measured(value, "nanoseconds", to);
    let switches = "two context switches";
    let mut python = row("pipe", "latency", Some("same"), time(7777.0, switches));
    python["program"] = "Python".into();
    let mut served =
        row("epoll", "server", None, measured(328_000.0, "per-second", "select"));
    served["chapter"] = "multiplex".into();
    served["size"] = Value::Null;
    served["clients"] = 64.into();
    served["idle"] = 900.into();
    let mut passed = row("pass one", "operation", None, time(4000.0, "getppid"));
    passed["chapter"] = "fdpass".into();
    passed["outcome"]["measured"]["percentiles"] = json!({
        "count": 3, "p50": 1500, "p90": 1900, "p99": 2000, "p999": 2000, "max": 2000,
        "histogram": [[1500, 2], [2000, 1]],
    });
    json!({
        "schema": schema,
        "head": {
            "version": "9.9.9", "date": "2026-11-21T13:00:00Z",
            "command": "ipclab bench --json now.json", "kernel": "Linux 6.18 x86_64",
            "cpu": "A CPU", "cpus": 2, "pinned": [1, 0], "governor": null,
            "hypervisor": null, "mitigations": [], "limits": [],
            "warnings": ["the machine was busy"], "seconds": 1.0,
        },
        "floors": [],
        "rows": [
            row("pipe", "latency", Some("same"), time(2500.0, switches)),
            row("pipe", "throughput", Some("same"), measured(4e9, "bytes-per-second", "memcpy")),
            row("pipe", "latency", Some("cross-blocking"), json!({ "invalid": "nobody waited" })),
            python, served, passed,
        ],
    })
}

#[test]
fn a_page_has_its_figures_with_their_ratios_and_one_placement_a_table() {
    let subject = subject("pipe");
    let file = subject.dir().join("report.json");
    std::fs::write(&file, report(1).to_string()).unwrap();
    let args = ["bench", "--figures", "report.json", "figures"];
    let outcome = run(ipclab(&subject, &args), Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let read = |name| {
        std::fs::read_to_string(subject.dir().join("figures").join(name)).unwrap()
    };
    let pipe = read("pipe.md");
    assert!(
        pipe.starts_with(
            "Captured by `ipclab bench --json now.json` of ipclab 9.9.9 on \
             2026-11-21T13:00:00Z: Linux 6.18 x86_64, A CPU, no virtual machine, 2 CPUs.\n"
        ),
        "{pipe}"
    );
    assert!(pipe.contains("\n> the machine was busy\n"), "{pipe}");
    let tables: Vec<&str> = pipe.split("\n**").skip(1).collect();
    assert_eq!(tables.len(), 2, "{pipe}");
    let ratio = "**1.25** (1.00–2.00)";
    assert!(tables[0].starts_with("Both on one CPU**"), "{pipe}");
    let line = format!("| pipe | 64 B | 2.50 µs | {ratio} | 4.00 GB/s | {ratio} |");
    assert!(tables[0].contains(&line), "{pipe}");
    assert!(
        tables[0].contains("÷ two context switches | one way | ÷ memcpy |"),
        "{pipe}"
    );
    assert!(tables[1].starts_with("On two CPUs, kept awake"), "{pipe}");
    assert!(tables[1].contains("| pipe | 64 B | invalid (1) |"), "{pipe}");
    assert!(tables[1].contains("\n(1) nobody waited\n"), "{pipe}");
    assert!(!pipe.contains("7.78"), "Python's figure is not the chapter's: {pipe}");
    let served = read("multiplex.md");
    let line = "| epoll, 64 busy, 900 idle | 328 k/s |  |  | 1.25 × select |";
    assert!(served.contains("**As a server**") && served.contains(line), "{served}");
    let passed = read("fdpass.md");
    assert!(passed.contains("**Single operations**"), "{passed}");
    assert!(
        passed
            .contains("| pass one, 64 B | 4.00 µs | 1.50 µs | – | 1.25 × getppid |"),
        "{passed}"
    );
}

#[test]
fn a_report_of_another_schema_is_refused() {
    let subject = subject("pipe");
    std::fs::write(subject.dir().join("report.json"), report(99).to_string())
        .unwrap();
    let args = ["bench", "--figures", "report.json", "."];
    let outcome = run(ipclab(&subject, &args), Input::Nothing);
    assert_eq!(outcome.status.code(), Some(1));
    assert!(outcome.stderr.contains("schema 99"), "{}", outcome.stderr);
}
