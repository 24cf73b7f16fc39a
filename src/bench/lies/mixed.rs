//! The lie of two placements in one comparison: the verdict is that of the placements.

use anyhow::Result;

use super::runner::{PairPlan, Runner, median, pipe};
use super::tell::{LieReport, Line, Method, off, time};
use crate::job::Mode;
use crate::joined::by_tcp;
use crate::model::Placement;
use crate::placement::Awake;
use crate::report::units;
use crate::subject::Waits;

const SIZE: u64 = 64;
const TITLE: &str = "mixed: one program on one CPU, the other on two";

/// Tells it.
pub(super) fn tell(runner: &mut Runner) -> Result<LieReport> {
    let Some(cross) = runner.cross() else {
        let why = "it needs two CPUs, and this process may use one";
        return Ok(LieReport::absent(TITLE, why));
    };
    let [here, pipe_here] = both(runner, runner.same())?;
    let [there, pipe_there] = {
        let _awake = Awake::keep(cross)?;
        both(runner, cross)?
    };
    let line = |by, what, figure, placement: Placement| {
        Line::new(by, what, time(figure), placement.text())
    };
    let (same, two) = (Placement::Same, Placement::CrossBlocking);
    let published = verdict(here, pipe_there);
    let honest = [verdict(here, pipe_here), verdict(there, pipe_there)];
    let mut facts = vec![
        format!("published: {published}"),
        format!("honest: same: {}; cross, blocking: {}", honest[0], honest[1]),
        off(here / pipe_there, here / pipe_here),
    ];
    if (here < pipe_there) == (here < pipe_here) {
        facts.push("the verdict did not flip in this run".to_owned());
    }
    Ok(LieReport {
        title: TITLE,
        lines: vec![
            line(Method::Published, "tcp, 64 B", here, same),
            line(Method::Published, "pipe, 64 B", pipe_there, two),
            line(Method::Honest, "tcp, 64 B", here, same),
            line(Method::Honest, "pipe, 64 B", pipe_here, same),
            line(Method::Honest, "tcp, 64 B", there, two),
            line(Method::Honest, "pipe, 64 B", pipe_there, two),
        ],
        facts,
        why: "On one CPU a message costs a context switch. On two it costs a wake-up of \
              the other CPU, which takes many times as long and hides the mechanism. \
              A program that does not pin itself lets the scheduler choose, each time anew.",
        see: "its label, if it has one. If not: sched_getaffinity, or taskset -p PID, or \
              the last CPU in /proc/PID/stat (field 39). Ask of every table: where did \
              the two run, and was it the same for each row?",
    })
}

/// TCP and the pipe, in turns.
fn both(runner: &mut Runner, cpus: [usize; 2]) -> Result<[f64; 2]> {
    let (mechanism, mode, size) = ("tcp", Mode::Pingpong, SIZE);
    let (meet, waits) = (by_tcp, Waits::Sleeps);
    let tcp = PairPlan { mechanism, mode, size, cpus, meet, waits };
    let all = runner.round_trips([tcp, pipe("pipe", SIZE, cpus)])?;
    Ok(all.map(|series| median(&series)))
}

fn verdict(tcp: f64, pipe: f64) -> String {
    let (faster, slower, ratio) = match tcp < pipe {
        true => ("tcp", "the pipe", pipe / tcp),
        false => ("the pipe", "tcp", tcp / pipe),
    };
    format!("{faster} is {} times as fast as {slower}", units::digits(ratio))
}
