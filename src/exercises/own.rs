//! A teacher's own exercise: a folder with `exercise.json`, whose partner is a command of the
//! teacher's. `ipclab exercise new` makes one that is whole.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use bare::MeetingPlace;
use lab::prose;

use super::Entry;
use super::row::{Begin, Ends, Exercise, Kind, Player, Stage, no_partner};
use super::scene::Scene;

/// The file.
const FILE: &str = "exercise.json";

/// The options of `new`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("exercise new lesson", "the folder `lesson`, with an exercise to begin with"),
    ("exercise self-test --own lesson", "does its beginning fail, and its solution pass?"),
    ("exercise check --own lesson -- python3 mine.py", "what a learner types"),
]))]
pub(super) struct Options {
    /// The folder
    dir: PathBuf,
}

/// What `exercise new` writes.
const FILES: [(&str, &str); 4] = [
    (FILE, include_str!("own/exercise.json")),
    ("partner.py", include_str!("own/partner.py")),
    ("solution.py", include_str!("own/solution.py")),
    ("beginning.py", include_str!("own/beginning.py")),
];

/// `ipclab exercise new`.
pub(super) fn run(options: &Options) -> Result<()> {
    let dir = &options.dir;
    if dir.join(FILE).exists() {
        bail!("{} is there already", dir.join(FILE).display());
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("mkdir {}", dir.display()))?;
    for (name, text) in FILES {
        let path = dir.join(name);
        let file = File::create_new(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("write {}", path.display()))?;
    }
    let shown = wire::meet::quoted(&dir.display().to_string());
    let rows = [
        (format!("ipclab exercise self-test --own {shown}"), "is it an exercise?"),
        (
            format!("ipclab exercise check --own {shown} -- python3 beginning.py"),
            "what a learner types",
        ),
    ];
    let all = FILES.map(|(name, _)| name).join(", ");
    prose::print(&format!(
        "{shown} has {all}: change them.\n\nNext:\n{}",
        prose::pairs(prose::width(), &rows)
    ))
}

/// `exercise.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Own {
    version: u32,
    name: String,
    title: String,
    #[serde(default)]
    places: Vec<Place>,
    hints: [String; 3],
    stages: Vec<OwnStage>,
    /// The command lines of programs, in the folder.
    pub(super) beginning: Vec<String>,
    pub(super) solution: Vec<String>,
    #[serde(default)]
    pub(super) wrong: Vec<OwnWrong>,
    /// The folder.
    #[serde(skip)]
    dir: PathBuf,
}

/// A wrong program, and the stage that catches it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnWrong {
    pub(super) what: String,
    pub(super) stage: String,
    pub(super) program: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    Path,
    Name,
    Key,
    Address,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnStage {
    name: String,
    about: String,
    hint: usize,
    players: Vec<OwnPlayer>,
}

/// A process of a stage: the learner's, by its role, or the teacher's, by its command.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnPlayer {
    role: Option<String>,
    partner: Option<Vec<String>>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    stdin: String,
    prints: Option<String>,
    #[serde(default)]
    ends: OwnEnds,
    #[serde(default)]
    piped: bool,
    #[serde(default)]
    idles: bool,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OwnEnds {
    #[default]
    Well,
    Failing,
    Anyhow,
}

impl Own {
    /// Reads the exercise in `dir`.
    ///
    /// # Errors
    /// A file that is not there, or not as it must be.
    pub(super) fn read(dir: &Path) -> Result<Own> {
        let path = dir.join(FILE);
        let shown = path.display();
        let text = std::fs::read(&path).with_context(|| format!("open {shown}"))?;
        let mut own: Own =
            serde_json::from_slice(&text).with_context(|| shown.to_string())?;
        own.dir = dir.to_owned();
        if own.version != 1 {
            bail!(
                "{shown}: it has the version {}, and this ipclab knows 1",
                own.version
            );
        }
        if own.stages.is_empty() {
            bail!("{shown}: it has no stages");
        }
        for stage in &own.stages {
            if !(1..=3).contains(&stage.hint) {
                bail!("{shown}: {}: hints are numbered from 1 to 3", stage.name);
            }
            for player in &stage.players {
                if player.role.is_some() == player.partner.is_some() {
                    bail!(
                        "{shown}: {}: a player has a role or a partner",
                        stage.name
                    );
                }
                if player.partner.as_ref().is_some_and(Vec::is_empty) {
                    bail!("{shown}: {}: the partner's command is empty", stage.name);
                }
            }
        }
        for wrong in &own.wrong {
            if own.stages.iter().all(|stage| stage.name != wrong.stage) {
                bail!("{shown}: there is no stage {}", wrong.stage);
            }
        }
        Ok(own)
    }
}

/// The one that this process checks: a stage's players are a plain function.
static LOADED: OnceLock<Own> = OnceLock::new();

/// Reads the exercise in `dir`, for as long as this process lives.
///
/// # Errors
/// As [`Own::read`].
pub(super) fn load(dir: &Path) -> Result<Entry> {
    let dir = std::path::absolute(dir).context("getcwd")?;
    let read = Own::read(&dir)?;
    let own = LOADED.get_or_init(|| read);
    let stages: Vec<Stage> = own
        .stages
        .iter()
        .map(|stage| Stage {
            name: &stage.name,
            about: &stage.about,
            players,
            partner: no_partner,
            hint: stage.hint,
        })
        .collect();
    let places = own.places.iter().map(|place| match place {
        Place::Path => MeetingPlace::Path,
        Place::Name => MeetingPlace::Name,
        Place::Key => MeetingPlace::Key,
        Place::Address => MeetingPlace::Address,
    });
    let exercise = Exercise {
        name: &own.name,
        title: &own.title,
        kind: Kind::Write,
        minutes: 0,
        after: &[],
        task: "",
        begin: Begin::Solution,
        places: Vec::leak(places.collect()),
        solutions: [None; 3],
        reasons: "",
        hints: [&own.hints[0], &own.hints[1], &own.hints[2]],
        needs: None,
        stages: Vec::leak(stages),
        wrong: &[],
    };
    Ok(("own", Box::leak(Box::new(exercise))))
}

/// The players of the scene's stage.
fn players(scene: &Scene) -> Vec<Player> {
    let stages = LOADED.get().map_or(&[][..], |own| &own.stages);
    let stage = stages.iter().find(|stage| stage.name == scene.stage);
    let players = stage.map_or(&[][..], |stage| &stage.players);
    players.iter().map(|player| play(player, scene)).collect()
}

fn play(player: &OwnPlayer, scene: &Scene) -> Player {
    let mut playing = match (&player.role, &player.partner) {
        (Some(role), _) => Player::learner(scene, role, &player.args),
        (None, command) => {
            let mut words: Vec<OsString> =
                command.iter().flatten().map(OsString::from).collect();
            words.extend(scene.places().into_iter().map(OsString::from));
            words.extend(player.args.iter().map(OsString::from));
            let dir = LOADED.get().map(|own| own.dir.clone()).unwrap_or_default();
            Player { command: Some((words, dir)), ..Player::partner() }
        }
    };
    playing = playing.reading(player.stdin.as_bytes()).ends(match player.ends {
        OwnEnds::Well => Ends::Well,
        OwnEnds::Failing => Ends::Failing,
        OwnEnds::Anyhow => Ends::Anyhow,
    });
    if let Some(prints) = &player.prints {
        playing = playing.prints(prints.as_bytes());
    }
    Player { piped: player.piped, idles: player.idles, ..playing }
}
