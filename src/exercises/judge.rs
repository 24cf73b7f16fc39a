//! What came of a stage: how each process ended, and what it printed, against what it should be.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::signal::Signal;

use process::Outcome;
use wire::say::grouped;

use super::row::{Ends, Player};
use super::run::{MOST_PRINTED, Over};
use super::sleep::ENDED_EARLY;
use super::stream::LOST;
use super::verdict::{Report, Verdict, difference};

/// Compares how each ended, and what it printed, with what it should be.
pub(super) fn judge(
    report: &mut Report,
    players: &[Player],
    outcomes: &[(String, Outcome)],
    unended: &[bool],
    over: Over,
) {
    let mut differences = Vec::new();
    // It was ended before it was done.
    let cut_off = report.verdict != Verdict::Passed;
    let ended = players.iter().zip(outcomes).zip(unended).filter(|(_, it)| !**it);
    let ended: Vec<_> = ended.map(|(it, _)| it).collect();
    // The cause first. What a partner sees is one, unless it sees that its peer is gone.
    let crashed = |outcome: &Outcome| outcome.status.signal().is_some();
    let judge_learners = |report: &mut Report, crashes: bool| {
        let learners = ended.iter().filter(|(it, _)| it.learners);
        for (player, (name, outcome)) in
            learners.filter(|(_, (_, outcome))| crashed(outcome) == crashes)
        {
            judge_end(report, player, name, outcome.status, &outcome.stderr);
            let says = player.says.as_deref();
            if let Some(word) = says.filter(|_| report.verdict == Verdict::Passed)
                && !has_word(&outcome.stderr, word)
            {
                let fault = format!(
                    "Your {name} should say \"{word}\" on standard error, and did not."
                );
                report.fault(Verdict::Wrong, fault);
            }
        }
    };
    let partners = ended.iter().filter(|(it, _)| !it.learners);
    let (effects, causes): (Vec<String>, Vec<String>) = partners
        .filter(|(_, (_, outcome))| !outcome.status.success())
        .map(|(_, (_, outcome))| complaint(&outcome.stderr))
        .partition(|complaint| tells_of_a_lost_peer(complaint));
    judge_learners(report, true);
    causes.into_iter().for_each(|cause| report.fault(Verdict::Wrong, cause));
    judge_learners(report, false);
    effects.into_iter().for_each(|effect| report.fault(Verdict::Wrong, effect));
    match over {
        Over::Quiet => {
            report.hung("All sleep, and nothing is left that could wake them.")
        }
        Over::Late => report.hung("It was not done in time."),
        Over::Flood => report.fault(
            Verdict::Wrong,
            format!("It printed more than {} bytes.", grouped(MOST_PRINTED as u64)),
        ),
        Over::Ended | Over::Failed | Over::Interrupted => {}
    }
    for (player, (name, outcome)) in players.iter().zip(outcomes) {
        let whose = if player.learners {
            format!("your {name}")
        } else {
            "the partner".into()
        };
        if let Some(expected) = player.prints.as_ref().filter(|_| !cut_off)
            && let Some(text) = difference(expected, &outcome.stdout)
        {
            let what = match player.learners {
                true => format!("What {whose} printed is not what it should print."),
                false => {
                    "What the partner received is not what should be sent.".into()
                }
            };
            // A hang is the cause, and what is missing its effect.
            if report.verdict != Verdict::Hung {
                report.fault(Verdict::Wrong, what);
            }
            let title = if player.learners {
                format!("Printed by {whose}")
            } else {
                "Received by the partner".into()
            };
            differences.push((title, text));
        }
    }
    report.story.extend(differences);
    for (player, (name, outcome)) in players.iter().zip(outcomes) {
        let title = match player.learners {
            true => format!("Your {name}, on standard error"),
            false => "What the partner did".to_owned(),
        };
        report.tell(&title, &outcome.stderr.replace("partner │ ", ""));
    }
}

/// Whether `word`, of letters and digits, stands in `text` by itself.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric()).any(|one| one == word)
}

/// What a partner said at its end.
fn complaint(said: &str) -> String {
    let said = said.lines().rfind(|line| !line.starts_with("partner │"));
    format!(
        "The partner ends: {}",
        said.unwrap_or("").trim_start_matches("ipclab: ")
    )
}

fn tells_of_a_lost_peer(complaint: &str) -> bool {
    ["EPIPE", "ECONNRESET", LOST, ENDED_EARLY]
        .iter()
        .any(|lost| complaint.contains(lost))
}

fn judge_end(
    report: &mut Report,
    player: &Player,
    name: &str,
    status: ExitStatus,
    said: &str,
) {
    let by = status.signal().and_then(|signal| Signal::try_from(signal).ok());
    match (player.ends, status.code(), by) {
        (Ends::Anyhow, ..) | (Ends::Well, Some(0), _) => {}
        (Ends::By(wanted), _, Some(signal)) if wanted == signal => {}
        (Ends::Failing, Some(code), _) if code != 0 && code != 2 => {
            if said.trim().is_empty() {
                let fault =
                    format!("Your {name} failed, and said nothing about it.");
                report.fault(Verdict::Wrong, fault);
            }
        }
        (_, _, Some(signal)) => report
            .fault(Verdict::Crashed, format!("Your {name} was ended by {signal}.")),
        (Ends::Failing, Some(0), _) => report.fault(
            Verdict::Wrong,
            format!(
                "Your {name} ended with status 0, as if all were well: it must fail."
            ),
        ),
        (_, Some(code), _) => report.fault(
            Verdict::Wrong,
            format!("Your {name} ended with status {code}, and not as it should."),
        ),
        (_, None, None) => {}
    }
}
