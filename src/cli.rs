//! The command line, made from the table of chapters.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand, ValueEnum};
use clap_complete::Shell;
use rustix::stdio::{stderr, stdout};

use crate::cli::near::Offers;
use crate::cli::words::words;
use chapters::find;
use lab::{progress, prose};
use os::cleanup;
use os::spawn::inherited;
use wire::chapter::{Conversation, OneWay, Roles, Row, Visitor};
use wire::errors::{self, Usage, usage};
use wire::frame::Framing;
use wire::holders;
use wire::meet::{Meets, Rendezvous};
use wire::roles::{self, MessageSource, Sink};
use wire::say;
use wire::standard;

mod bare;
mod completions;
pub mod experiment;
pub mod list;
mod man;
pub mod near;
mod next;
mod peer;
mod refused;
mod words;

/// When the commentary is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    /// On a terminal, unless NO_COLOR is set; elsewhere if CLICOLOR_FORCE is
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The options of every command.
#[derive(Debug, Args)]
struct Global {
    /// Leave out the commentary on stderr
    #[arg(short, long, global = true)]
    quiet: bool,

    /// When to colour the commentary
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN"
    )]
    color: When,
}

/// The options of every role.
#[derive(Debug, Args)]
struct Common {
    /// Give up after SECONDS in all, the meeting included, with exit status 124
    #[arg(long, value_name = "SECONDS", value_parser = roles::seconds)]
    timeout: Option<Duration>,

    /// Name every call in the commentary, also those that come fast
    #[arg(long)]
    all: bool,
}

/// The options of every role that meets its peer at a name.
#[derive(Debug, Args)]
struct Meeting {
    /// The meeting place: a NAME in the runtime directory, or a path with a slash
    #[arg(long, value_name = "NAME")]
    at: Option<String>,

    /// Write one line with the address to descriptor N once peers may come
    #[arg(long, value_name = "N", hide_short_help = true)]
    ready_fd: Option<i32>,
}

/// The verbs that work on any chapter.
#[derive(Debug, Subcommand)]
enum Verb {
    /// List the chapters, what is on their wire, and what a peer's death looks like
    List(list::Options),
    /// The shortest whole program of each mechanism, in Rust, C and Python
    Bare(bare::Options),
    /// Run both roles of chapters as real processes, and check what arrived
    Demo(lab::demo::Options),
    /// Pitfalls as questions: guess, and the kernel answers
    Experiment(experiment::Options),
    /// Your path through the chapters: what is done, and the one command to type now
    Next(next::Options),
    /// Write programs of your own, and have them graded: start, check, hint, show
    Exercise(exercises::Options),
    /// The partner of an exercise; only `ipclab exercise check` starts it
    #[command(hide = true)]
    ExercisePartner(exercises::partner::Options),
    /// Draw the system calls of a chapter's roles, or of any programs, side by side
    Trace(trace::Options),
    /// Show who holds which pipe, socket, queue or lock, who sleeps on it, and why
    Map(map::Options),
    /// Measure the chapters' own code, in multiples of what the machine can do at best
    Bench(bench::Options),
    /// One end of a measurement; only `ipclab bench` starts it
    #[command(hide = true)]
    BenchEnd(bench::job::Job),
    /// A process of `bench --servers`
    #[command(hide = true, subcommand)]
    BenchServers(bench::play::BenchProcess),
    /// What this machine offers: what runs here, what is limited, what is missing
    Doctor(doctor::Options),
    /// Remove what a `kill -9` left behind
    Clean(lab::clean::Options),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the man page
    Man,
    /// Show a chapter's roles and commands, or the options of a role or a verb
    Help {
        /// A chapter or a verb, and a role of the chapter
        #[arg(value_name = "CHAPTER [ROLE]", num_args = 0..=3)]
        #[arg(value_parser = Offers(completions::topics), hide_possible_values = true)]
        topic: Vec<String>,
    },
}

/// Parses the command line, and does what it says.
///
/// # Errors
/// What went wrong, for `main` to print.
pub fn run() -> Result<()> {
    let all = command();
    run_words(&all, &words(&all))
}

fn run_words(all: &Command, words: &[OsString]) -> Result<()> {
    let matches = match all.clone().try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => return parse_error(&error, words, all),
    };
    let global = Global::from_arg_matches(&matches)?;
    set_colours(global.color);
    let Some((name, below)) = matches.subcommand() else {
        return list::overview();
    };
    if chapters::find(name).is_none() {
        return run_verb(Verb::from_arg_matches(&matches)?, &global, all);
    }
    let quiet = global.quiet;
    let mut chosen =
        Chosen { all, name, below, quiet, outcome: Ok(()), played: false };
    chapters::each(&mut chosen);
    let Chosen { played, outcome, .. } = chosen;
    if !played {
        return list::chapter(name);
    }
    outcome?;
    progress::done("role", [name], quiet);
    Ok(())
}

/// `ipclab help fifo sender` is `ipclab fifo sender --help`; of a chapter it is its first page.
fn help(all: &Command, topic: Vec<OsString>) -> Result<()> {
    let is_chapter =
        |word: &OsString| word.to_str().is_some_and(|word| find(word).is_some());
    let page = matches!(&topic[..], [only] if is_chapter(only));
    let mut words = vec![OsString::from("ipclab")];
    words.extend(topic.into_iter().filter(|word| word != "help"));
    words.extend((!page).then(|| "--help".into()));
    run_words(all, &words)
}

fn run_verb(verb: Verb, global: &Global, all: &Command) -> Result<()> {
    // All of them print what they did, once they have done it.
    standard::output()?;
    match verb {
        Verb::List(options) => list::run(&options),
        Verb::Bare(options) => bare::run(&options, global.quiet),
        Verb::Demo(options) => lab::demo::run(&options, global.quiet),
        Verb::Experiment(options) => experiment::run(&options, global.quiet),
        Verb::Next(options) => {
            colours_of_output(global);
            next::run(&options)
        }
        Verb::Exercise(options) => {
            colours_of_output(global);
            exercises::run(&options)
        }
        Verb::ExercisePartner(options) => exercises::partner::play(&options),
        Verb::Trace(options) => {
            errors::begin_section("trace");
            let coloured = colours_of_output(global);
            trace::run(&options, coloured)
        }
        Verb::Map(options) => {
            colours_of_output(global);
            map::run(&options)
        }
        Verb::Bench(options) => {
            colours_of_output(global);
            bench::run(&options, global.quiet)
        }
        Verb::Doctor(options) => {
            colours_of_output(global);
            doctor::run(&options)
        }
        Verb::BenchEnd(job) => bench::play::play(&job),
        Verb::BenchServers(process) => process.run(),
        Verb::Clean(options) => lab::clean::run(&options),
        Verb::Completions { shell } => {
            prose::print(&completions::script(shell, all.clone()))
        }
        Verb::Man => prose::print(&man::page(all.clone())?),
        Verb::Help { topic } => {
            help(all, topic.into_iter().map(OsString::from).collect())
        }
    }
}

/// Has what is printed coloured as the terminal of standard output wants it; whether it is.
fn colours_of_output(global: &Global) -> bool {
    let coloured = wants_colours(global.color, stdout().is_terminal());
    colored::control::set_override(coloured);
    coloured
}

/// The whole command line.
pub fn command() -> Command {
    let mut chapters = Chapters(
        Global::augment_args(Command::new("ipclab"))
            .version(env!("CARGO_PKG_VERSION"))
            .after_help(
                prose::examples(&[
                    ("demo", "both roles of every chapter, in one terminal"),
                    ("fifo receiver", "one role, in this terminal"),
                    ("fifo sender hello", "the other role, in another terminal"),
                    ("help fifo sender", "all options of a role"),
                ]) + "\nExit status: 0 done, 1 failed, 2 usage, 124 timed out.",
            )
            .subcommand_value_name("CHAPTER|VERB")
            .subcommand_help_heading("Chapters and verbs")
            .disable_help_subcommand(true),
    );
    chapters::each(&mut chapters);
    Verb::augment_subcommands(chapters.0)
        .about("A workbook for inter-process communication on Linux")
        .subcommand_required(false)
        .mut_subcommand("map", |map| {
            let what = Offers(completions::chapters);
            // It puts the argument behind the other one, which must be the last.
            map.mut_arg("what", |arg| {
                arg.value_parser(what).hide_possible_values(true)
            })
            .mut_arg("commands", |arg| arg)
        })
}

/// Adds each chapter's subcommand.
struct Chapters(Command);

impl Chapters {
    fn add(&mut self, row: Row, roles: Command) {
        let roles = roles
            .mut_subcommands(|role| finish_role(role, &row))
            .about(row.summary)
            .disable_help_subcommand(true)
            .subcommand_value_name("ROLE")
            .subcommand_help_heading("Roles")
            .subcommand_required(false)
            .arg_required_else_help(false);
        let all = std::mem::take(&mut self.0);
        self.0 = all.subcommand(roles);
    }
}

impl Visitor for Chapters {
    fn one_way<C: OneWay>(&mut self) {
        use wire::transport::{Receiver, Sender};
        type SenderOptions<C> = <<C as OneWay>::Sender as Sender>::Options;
        type ReceiverOptions<C> = <<C as OneWay>::Receiver as Receiver>::Options;
        let sender = MessageSource::augment_args(Command::new("sender"));
        let receiver = Sink::augment_args(Command::new("receiver"));
        let roles = Command::new(C::ROW.name)
            .subcommand(SenderOptions::<C>::augment_args(sender))
            .subcommand(ReceiverOptions::<C>::augment_args(receiver));
        self.add(C::ROW, C::More::augment_subcommands(roles));
    }

    fn conversation<C: Conversation>(&mut self) {
        let roles = Command::new(C::ROW.name);
        self.add(C::ROW, C::Roles::augment_subcommands(roles));
    }
}

/// What every role's command has, from its row.
fn finish_role(command: Command, row: &Row) -> Command {
    let Some(role) = row.roles.iter().find(|role| role.name == command.get_name())
    else {
        return command;
    };
    let examples: String =
        role.command_lines().map(|line| format!("\n  {line}")).collect();
    let mut command = Common::augment_args(command);
    if row.meets.by_name() {
        command = Meeting::augment_args(command);
    }
    if row.meets == Meets::Address {
        let same = "The server's address, for both roles alike";
        command = command.mut_arg("at", |at| at.help(same).value_name("HOST:PORT"));
    }
    if row.meets == Meets::Kernel {
        let name = "The meeting place: the kernel object /NAME, or the one whose key is \
                    made from /NAME";
        command = command.mut_arg("at", |at| at.help(name));
    }
    if command.has_subcommands() {
        // A role with verbs takes its options before and after the verb.
        command = command.mut_args(|arg| arg.global(true));
    }
    // After the arguments: a derived struct brings its own doc comment along as "about".
    command
        .about(role.does)
        .aliases(role.aliases())
        .after_help(format!("Examples:{examples}"))
}

/// Takes the descriptor of `--ready-fd`.
fn ready(number: i32) -> Result<OwnedFd> {
    inherited(number).with_context(|| format!("fcntl --ready-fd {number}"))
}

/// Plays the role that was chosen on the command line.
struct Chosen<'a> {
    all: &'a Command,
    name: &'a str,
    below: &'a ArgMatches,
    quiet: bool,
    outcome: Result<()>,
    played: bool,
}

impl Chosen<'_> {
    /// The role and its place, once everything that all roles share is set up.
    fn begin(&self, row: Row) -> Result<Option<(&ArgMatches, Rendezvous)>> {
        let Some((role, matches)) = self.below.subcommand() else { return Ok(None) };
        errors::begin_section(row.name);
        let (given, ready) = if row.meets.by_name() {
            let meeting = Meeting::from_arg_matches(matches)?;
            // Before anything is opened: by now a number that was not given to us is no descriptor.
            (meeting.at, meeting.ready_fd.map(ready).transpose()?)
        } else {
            (None, None)
        };
        if let Some(role) = row.roles.iter().find(|it| it.name == role)
            && !self.quiet
        {
            say::start(role.name, role.side.colour());
        }
        let framing = matches.try_get_one::<Framing>("framing").ok().flatten();
        let bytes =
            matches.try_get_one::<bool>("bytes").ok().flatten() == Some(&true);
        if bytes && framing.is_some_and(|framing| *framing != Framing::None) {
            return Err(usage("--bytes sends no boundaries: leave --framing out"));
        }
        if ready.is_some() {
            // A program that wants to know when this role is ready starts the other one too.
            say::the_other_comes();
        }
        let mut rendezvous =
            Rendezvous::new(row.name, row.meets, given)?.announcing(ready);
        for peer in row.roles {
            let (command, message) =
                peer::command(self.all, row.name, role, peer.name, matches);
            rendezvous = rendezvous.with_peer(peer.name, command, message);
        }
        let common = Common::from_arg_matches(matches)?;
        if common.all {
            say::name_all();
        }
        cleanup::install(common.timeout);
        holders::look_on();
        Ok(Some((matches, rendezvous)))
    }

    fn play(
        &mut self,
        row: Row,
        play: impl FnOnce(&str, &ArgMatches, &Rendezvous) -> Result<()>,
    ) {
        if self.name != row.name {
            return;
        }
        let outcome = match self.begin(row) {
            Ok(None) => return,
            Ok(Some((matches, rendezvous))) => {
                let role = self.below.subcommand_name().unwrap_or_default();
                play(role, matches, &rendezvous)
            }
            Err(error) => Err(error),
        };
        (self.outcome, self.played) = (outcome, true);
    }
}

impl Visitor for Chosen<'_> {
    fn one_way<C: OneWay>(&mut self) {
        let below = self.below;
        self.play(C::ROW, |role, matches, rendezvous| match role {
            "sender" => {
                let options = FromArgMatches::from_arg_matches(matches)?;
                let source = MessageSource::from_arg_matches(matches)?;
                roles::send::<C::Sender>(rendezvous, &options, &source)
            }
            "receiver" => {
                let options = FromArgMatches::from_arg_matches(matches)?;
                let sink = Sink::from_arg_matches(matches)?;
                roles::receive::<C::Receiver>(rendezvous, &options, &sink)
            }
            _ => C::More::from_arg_matches(below)?.play(rendezvous),
        });
    }

    fn conversation<C: Conversation>(&mut self) {
        let below = self.below;
        self.play(C::ROW, |_, _, rendezvous| {
            C::Roles::from_arg_matches(below)?.play(rendezvous)
        });
    }
}

fn set_colours(when: When) {
    colored::control::set_override(wants_colours(when, stderr().is_terminal()));
}

/// Whether what goes to a terminal, or not to one, is coloured.
fn wants_colours(when: When, terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let forced = set("CLICOLOR_FORCE")
        && std::env::var_os("CLICOLOR_FORCE") != Some(OsString::from("0"));
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto if set("NO_COLOR") => false,
        When::Auto => forced || terminal,
    }
}

/// Help and version are printed as they are; bad usage becomes one line.
fn parse_error(
    error: &clap::Error,
    words: &[OsString],
    all: &Command,
) -> Result<()> {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return prose::print(&error.render().to_string());
    }
    let words: Vec<_> =
        words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    Err(anyhow::Error::new(Usage(refused::line(error, &words, all))))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
