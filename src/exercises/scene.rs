//! Where a stage is played, and what is sent in it: made anew, and alike, by each of its
//! processes from the directory and the seed.

use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use bare::MeetingPlace;
use lab::bare::MeetingPlaces;
use wire::meet::key_of;

use super::draw::Draw;
use super::row::{Exercise, Stage};

/// The scene of one stage.
#[derive(Debug)]
pub struct Scene {
    /// The stage's directory: names in it go with it.
    pub dir: PathBuf,
    /// The stage's name: stages that differ in it alone share their functions.
    pub stage: &'static str,
    meeting: MeetingPlaces,
    places: &'static [MeetingPlace],
    seed: u64,
}

impl Scene {
    /// The scene of `stage` in `dir`.
    pub fn new(exercise: &Exercise, stage: &Stage, dir: &Path, seed: u64) -> Scene {
        Scene {
            dir: dir.to_owned(),
            stage: stage.name,
            meeting: MeetingPlaces::at(dir, "exercise"),
            places: exercise.places,
            seed,
        }
    }

    /// What is sent, the same each time: it depends on the seed and the stage's name.
    pub fn draw(&self) -> Draw {
        Draw::new(self.seed, self.stage)
    }

    /// The arguments that say where the roles meet.
    pub fn places(&self) -> Vec<String> {
        self.places.iter().map(|place| self.meeting.argument(*place)).collect()
    }

    /// The first of them.
    pub fn place(&self) -> String {
        self.places().into_iter().next().unwrap_or_default()
    }

    /// What stands for [`MeetingPlace::Key`], as a number.
    pub fn key(&self) -> i32 {
        key_of(&self.meeting.argument(MeetingPlace::Name))
    }

    /// Makes a FIFO at `path`, before any process of the stage is there.
    pub fn make_fifo(&self, path: &str) {
        // Where it cannot be, the partner's open(2) says so.
        let _ = mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR);
    }

    /// Removes what is left in the kernel by the stage's names, and says what that was.
    pub fn remove_leftovers(&self) -> Option<String> {
        self.meeting.remove_leftovers()
    }
}
