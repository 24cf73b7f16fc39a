//! `ipclab experiment`: asks, waits for a guess, runs it for real, and explains the answer.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::sync::OnceLock;

use anyhow::{Result, bail};
use rustix::stdio::stdin;

use experiments::ALL;
use wire::errors::usage;
use wire::roles::Lines;
use wire::say;
use wire::standard::Input;

use direct::{Ended, Observed};
use entry::{Entry, choose};

use super::near::Offers;
use lab::interrupts::Interrupts;
use lab::progress::{Progress, told};
use lab::prose;
use lab::scratch::{DesertedRun, deserted};

mod direct;
mod entry;
mod list;
mod page;
mod quiz;
mod tell;

/// The options of `ipclab experiment`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("experiment", "all of them, and what you have tried"),
    ("experiment fifo", "those of a chapter"),
    ("experiment fifo --quiz", "asks them all; q leaves, and the next time goes on"),
    ("experiment fifo/no-reader-enxio", "asks, then runs it"),
    ("experiment fifo/no-reader-enxio --guess 2", "runs it, without asking"),
    ("experiment fifo --show", "a chapter's answers, without a guess"),
]))]
pub struct Options {
    /// A chapter, or one of its experiments; without any, the list of all
    #[arg(value_name = "CHAPTER[/NAME]")]
    #[arg(value_parser = Offers(ids), hide_possible_values = true)]
    which: Option<String>,

    /// Your answer's number: nothing is asked
    #[arg(long, value_name = "N", conflicts_with = "show")]
    guess: Option<usize>,

    /// Ask the chapter's questions that you have not guessed right yet, wrong ones again at
    /// the end; q leaves, and the next time goes on
    #[arg(long, conflicts_with_all = ["guess", "show", "json", "markdown"])]
    quiz: bool,

    /// Run it and tell the answer, without a guess
    #[arg(long)]
    show: bool,

    /// One JSON object an experiment: what it asks, and what was seen if it was run
    #[arg(long)]
    json: bool,

    /// Run it, and print the section of its chapter's page
    #[arg(long, hide_short_help = true, conflicts_with_all = ["guess", "json"])]
    markdown: bool,

    /// Play the run in this process; only a director, who made the directory, asks for it
    #[arg(long, value_name = "DIRECTORY", hide = true)]
    on_stage: Option<OsString>,
}

/// What a shell completes: the chapters, and their experiments.
fn ids() -> &'static [String] {
    static IDS: OnceLock<Vec<String>> = OnceLock::new();
    IDS.get_or_init(|| {
        let chapters = ALL.iter().map(|(chapter, _)| (*chapter).to_owned());
        let all = ALL.iter().flat_map(|(chapter, all)| {
            all.iter().map(move |one| format!("{chapter}/{}", one.name))
        });
        chapters.chain(all).collect()
    })
}

/// `ipclab experiment`.
///
/// # Errors
/// A name that is none, a guess out of range, a run that went wrong or cannot be made here.
pub fn run(options: &Options, quiet: bool) -> Result<()> {
    let chosen = choose(options.which.as_deref())?;
    let single = options.which.as_ref().is_some_and(|which| which.contains('/'));
    if let Some(scratch) = &options.on_stage {
        return direct::play_here(chosen[0].1, scratch);
    }
    if let Some(guess) = options.guess {
        let [(_, experiment)] = chosen[..] else {
            return Err(usage("--guess answers one experiment: give CHAPTER/NAME"));
        };
        let most = experiment.answers.len();
        if !(1..=most).contains(&guess) {
            return Err(usage(format!(
                "--guess {guess}: the answers are 1 to {most}"
            )));
        }
    }
    let asks =
        single && !options.show && !options.markdown && options.guess.is_none();
    let runs = options.show || options.markdown || options.guess.is_some();
    if options.quiz && (single || options.which.is_none()) {
        return Err(usage("--quiz asks the questions of a chapter: give CHAPTER"));
    }
    if !runs && !options.quiz && (options.json || !single) {
        return list::print(&chosen, options.json);
    }
    deserted().into_iter().for_each(DesertedRun::remove);
    let mut stop = Interrupts::watch()?;
    if options.quiz {
        return quiz::run(chosen, &mut stop, quiet);
    }
    let (mut failures, mut cannot) = (0, 0);
    for (number, one) in chosen.iter().enumerate() {
        let guess = match asks {
            true => match ask(*one, &mut stop)? {
                Some(guess) => guess,
                None => return Ok(()),
            },
            false => options.guess,
        };
        let observed = direct::run(*one, &mut stop, quiet)?;
        let failed = report(*one, guess, &observed, options, number, single)?;
        // What this machine or this build lacks is no failure among many; a page wants all.
        match observed.ended {
            Ended::Needs(_) if !options.markdown => cannot += 1,
            _ => failures += usize::from(failed),
        }
        if chosen.len() == 1 && failed {
            bail!("{}", observed.trouble(*one));
        }
    }
    if failures > 0 {
        bail!("{failures} of {} experiments could not be run", chosen.len());
    }
    if cannot > 0 && !quiet {
        let all = chosen.len();
        say::tell(&format!(
            "ipclab: {cannot} of {all} experiments need what is not here\n"
        ));
    }
    Ok(())
}

/// Prints what came of one; `true` if it could not be run.
fn report(
    one: Entry,
    guess: Option<usize>,
    observed: &Observed,
    options: &Options,
    number: usize,
    single: bool,
) -> Result<bool> {
    let text = match (options.json, options.markdown) {
        (true, _) => tell::json(one, guess, observed),
        (_, true) => page::section(one, observed),
        _ => {
            let between = if number > 0 { "\n" } else { "" };
            // A reader who was asked has just read the question.
            let asked = guess.is_some() && options.guess.is_none();
            let question = if asked { String::new() } else { tell::question(one) };
            format!("{between}{question}{}", tell::outcome(one, guess, observed))
        }
    };
    prose::print(&text)?;
    if !options.markdown && !options.json {
        keep(one, guess, observed);
        if single && matches!(observed.ended, Ended::Answered(_)) {
            prose::print(&list::next(one))?;
        }
    }
    Ok(!matches!(observed.ended, Ended::Answered(_)))
}

/// Keeps what was tried. What cannot run here has been shown: the book's answer was told.
fn keep(one: Entry, guess: Option<usize>, observed: &Observed) {
    let (guess, answer) = match observed.ended {
        Ended::Answered(answer) => (guess, answer),
        Ended::Needs(_) => (None, one.1.expected()),
        Ended::Failed(_) => return,
    };
    told(Progress::tried(&entry::id(one), guess, answer));
}

/// Prints the question and waits for a guess: `Some(None)` to be shown the answer, `None`
/// when the reader stops. Never waits for input that is no terminal.
fn ask(one: Entry, stop: &mut Interrupts) -> Result<Option<Option<usize>>> {
    prose::print(&tell::question(one))?;
    if !stdin().is_terminal() {
        let id = entry::id(one);
        return Err(usage(format!(
            "standard input is no terminal: ipclab experiment {id} --guess N, or --show"
        )));
    }
    let most = one.1.answers.len();
    let mut mistaken = false;
    loop {
        say::tell(&format!("your guess (1 to {most}; Enter shows it; q leaves): "));
        let Some(line) = read_line(stop)? else {
            // The terminal has shown nothing for Ctrl-D.
            say::tell("\n");
            return Ok(None);
        };
        match line.trim() {
            "q" | "quit" | "exit" => return Ok(None),
            // Enter after a mistake may be part of it: it must not give the answer away.
            "" if mistaken => say::tell("Enter once more shows the answer\n"),
            "" => return Ok(Some(None)),
            word => match word.parse() {
                Ok(guess) if (1..=most).contains(&guess) => {
                    return Ok(Some(Some(guess)));
                }
                _ => {
                    say::tell(&format!("{word:?} is none of the answers\n"));
                    mistaken = true;
                    continue;
                }
            },
        }
        mistaken = false;
    }
}

/// The longest answer that is read, in bytes: a terminal's line has no more (termios(3)).
const LONGEST: usize = 4096;

/// A line of the terminal; `None` at its end. Ctrl-C ends the program, as it would
/// anywhere: no process is running yet.
fn read_line(stop: &mut Interrupts) -> Result<Option<String>> {
    stop.wait_for_input(&stdin())?;
    let mut lines = Lines::new(Input::buffered()?);
    let mut line = Vec::new();
    let more = lines.next(&mut line, LONGEST)?;
    Ok(more.then(|| String::from_utf8_lossy(&line).into_owned()))
}
