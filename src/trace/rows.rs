//! Time from top to bottom, a lane for each process: which event is in which row.

use std::collections::{HashMap, HashSet};

use super::cell::{Cell, Part};
use super::event::{Effect, Event, EventKind, Outcome, Trace};
use super::pair::Arrow;
use super::text::line;
use wire::chapter::{self, Side};

/// A drawing whose width is not known yet.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    /// The processes that have a lane, by their indexes in the trace.
    pub(super) lanes: Vec<usize>,
    /// The numbers of the lanes' colours: those of the roles, or else one a lane.
    pub(super) colours: Vec<usize>,
    /// The rows.
    pub(super) rows: Vec<Row>,
    /// From which cell to which.
    pub(super) arrows: Vec<Join>,
    /// Whether every argument is shown.
    pub(super) full: bool,
}

/// One row.
#[derive(Debug)]
pub(super) enum Row {
    /// Events, at most one a lane.
    Cells(Vec<Cell>),
    /// A sentence across all lanes.
    Note(String),
}

/// An arrow between two cells: row and lane of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Join {
    /// Where it begins.
    pub(super) from: (usize, usize),
    /// Where it points to.
    pub(super) to: (usize, usize),
}

/// A cell that has not found its row yet: when, and what.
struct Loose {
    moment: u64,
    cell: Cell,
}

/// Puts the `shown` events in rows. The roles of `chapter` have their sides.
pub(super) fn layout(
    trace: &Trace,
    shown: &[usize],
    arrows: &[Arrow],
    full: bool,
    chapter: Option<&chapter::Row>,
) -> Drawing {
    let all = &trace.events;
    let mut lanes: Vec<usize> = (0..trace.processes.len())
        .filter(|process| shown.iter().any(|event| all[*event].process == *process))
        .collect();
    let side = |process: usize| chapter?.side(&trace.processes[process].name);
    // Whoever begins. What plays no role comes last.
    lanes.sort_by_key(|process| {
        side(*process).map_or((true, None), |it| (false, Some(it)))
    });
    // What plays no role has a colour that no role here has.
    let taken: HashSet<usize> = lanes
        .iter()
        .filter_map(|process| side(*process))
        .map(Side::colour)
        .collect();
    let mut free = (0..).filter(|colour| !taken.contains(colour));
    let colours = lanes
        .iter()
        .map(|process| side(*process).map(Side::colour).or_else(|| free.next()))
        .map(Option::unwrap_or_default)
        .collect();
    let lane: HashMap<usize, usize> =
        lanes.iter().enumerate().map(|(n, p)| (*p, n)).collect();
    let set: HashSet<usize> = shown.iter().copied().collect();
    let across = |arrow: &&Arrow| {
        all[arrow.from].process != all[arrow.to].process
            && set.contains(&arrow.from)
            && set.contains(&arrow.to)
    };
    let arrows: Vec<Arrow> = arrows.iter().filter(across).copied().collect();
    let mut loose = Vec::new();
    for &event in shown {
        loose.extend(cells(all, shown, event, lane[&all[event].process], &arrows));
    }
    loose.sort_by_key(|loose| loose.moment);
    let joined: HashSet<usize> =
        arrows.iter().flat_map(|a| [a.from, a.to]).collect();
    let loose = repeated(all, loose, &joined);
    let (mut rows, ends) = rows(loose, &arrows);
    let mut joins = Vec::new();
    for arrow in &arrows {
        let from = ends.get(&(arrow.from, false)).or(ends.get(&(arrow.from, true)));
        let to = ends.get(&(arrow.to, true)).or(ends.get(&(arrow.to, false)));
        if let (Some(from), Some(to)) = (from, to) {
            joins.push(Join { from: *from, to: *to });
        }
    }
    notes(trace, shown, &mut rows, &mut joins);
    Drawing { lanes, colours, rows, arrows: joins, full }
}

/// One cell, or two if something was seen while the call slept.
fn cells(
    all: &[Event],
    shown: &[usize],
    event: usize,
    lane: usize,
    arrows: &[Arrow],
) -> Vec<Loose> {
    let seen = &all[event];
    let end = seen.end.unwrap_or(u64::MAX);
    let meanwhile = |other: &&usize| {
        let other = &all[**other];
        let within = |moment: u64| seen.begin < moment && moment < end;
        other.process != seen.process
            && (within(other.begin) || other.end.is_some_and(within))
    };
    let cell =
        |moment, part| Loose { moment, cell: Cell { lane, event, part, again: 1 } };
    if seen.slept
        && seen.end.is_some()
        && shown.iter().any(|other| meanwhile(&other))
    {
        return vec![cell(seen.begin, Part::Begins), cell(end, Part::Returns)];
    }
    // What takes stands where it got it, so that no arrow points back in time.
    let takes = arrows.iter().any(|arrow| arrow.to == event);
    vec![cell(if takes { end } else { seen.begin }, Part::Whole)]
}

/// Calls that are repeated without an effect become one.
fn repeated(
    all: &[Event],
    loose: Vec<Loose>,
    joined: &HashSet<usize>,
) -> Vec<Loose> {
    let mut kept: Vec<Loose> = Vec::new();
    let fruitless = |event: usize| {
        let EventKind::Call(call) = &all[event].what else { return None };
        let nothing = matches!(call.result, Outcome::Error(_))
            || matches!(call.result, Outcome::Value(0, _, "timeout"));
        (nothing && !joined.contains(&event)).then_some(&call.name)
    };
    for next in loose {
        if let Some(last) = kept.last_mut()
            && last.cell.lane == next.cell.lane
            && next.cell.part == Part::Whole
            && last.cell.part == Part::Whole
            && let Some(name) = fruitless(next.cell.event)
            && fruitless(last.cell.event) == Some(name)
            && line(&all[last.cell.event], Part::Begins)
                == line(&all[next.cell.event], Part::Begins)
        {
            last.cell.again += 1;
            continue;
        }
        kept.push(next);
    }
    kept
}

/// Row and lane of an event's first part (`false`) and of its last (`true`).
type CellEnds = HashMap<(usize, bool), (usize, usize)>;

/// A cell whose arrow leads to the next one shares its row.
fn rows(loose: Vec<Loose>, arrows: &[Arrow]) -> (Vec<Row>, CellEnds) {
    let direct: HashSet<(usize, usize)> =
        arrows.iter().map(|a| (a.from, a.to)).collect();
    let (mut rows, mut ends) = (Vec::new(), CellEnds::new());
    let mut loose = loose.into_iter().map(|loose| loose.cell).peekable();
    while let Some(cell) = loose.next() {
        let mut cells = vec![cell];
        let beside = |next: &Cell| {
            direct.contains(&(cell.event, next.event))
                && next.lane.abs_diff(cell.lane) == 1
                && cell.part != Part::Returns
                && next.part != Part::Begins
        };
        cells.extend(loose.next_if(beside));
        for cell in &cells {
            ends.insert(
                (cell.event, cell.part == Part::Returns),
                (rows.len(), cell.lane),
            );
        }
        rows.push(Row::Cells(cells));
    }
    (rows, ends)
}

/// Notes where data crosses without any call: once both have the pages.
fn notes(trace: &Trace, shown: &[usize], rows: &mut Vec<Row>, joins: &mut [Join]) {
    let mut mapped: HashMap<&str, (HashSet<usize>, bool)> = HashMap::new();
    for &event in shown {
        for effect in &trace.events[event].effects {
            let Effect::Share(key, id) = effect else { continue };
            let (processes, said) = mapped.entry(key).or_default();
            processes.insert(trace.events[event].process);
            if processes.len() < 2 || *said {
                continue;
            }
            *said = true;
            let name = &trace.objects.get(*id).long;
            let text = format!(
                "Both have the same pages now ({name}): data crosses them without any system call."
            );
            let holds = |row: &Row| matches!(row, Row::Cells(cells) if cells.iter().any(|c| c.event == event));
            let Some(after) = rows.iter().rposition(holds) else { continue };
            rows.insert(after + 1, Row::Note(text));
            for end in
                joins.iter_mut().flat_map(|join| [&mut join.from, &mut join.to])
            {
                end.0 += usize::from(end.0 > after);
            }
        }
    }
}
