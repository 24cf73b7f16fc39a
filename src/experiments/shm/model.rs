//! A checker of small programs on atomic numbers: it tries every interleaving, and every
//! value that each load may see by the rules of C++20, which are Rust's.
//!
//! Each number keeps all that was ever stored in it. Each process has a view: how far it
//! knows the stores to each number. A Relaxed load may see any store that its view has
//! not passed. An Acquire load of a Release store takes over the view of the process that
//! stored. SeqCst operations have one view in common, besides. Each number has one writer
//! here, whose order is that of its stores; there are no read-modify-writes.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// One step of a process.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// Stores 1 in the number.
    Store(usize, Ordering),
    /// Loads the number.
    Load(usize, Ordering),
    /// membarrier(2): all processes pass a fence.
    #[cfg(test)]
    Membarrier,
}

/// How many numbers there are.
const NUMBERS: usize = 2;

/// Of each number, the first store that one may still see.
type View = [usize; NUMBERS];

#[derive(Clone)]
struct Process {
    next: usize,
    view: View,
    loaded: Vec<u8>,
}

#[derive(Clone)]
struct State {
    /// Of each number, its values and what an Acquire of it takes over.
    stores: [Vec<(u8, View)>; NUMBERS],
    common: View,
    processes: Vec<Process>,
}

/// All that the loads of these processes can see, in the order of processes and steps.
pub(super) fn outcomes(program: &[&[Step]]) -> BTreeSet<Vec<u8>> {
    let process = Process { next: 0, view: [0; NUMBERS], loaded: Vec::new() };
    let start = State {
        stores: std::array::from_fn(|_| vec![(0, [0; NUMBERS])]),
        common: [0; NUMBERS],
        processes: vec![process; program.len()],
    };
    let (mut open, mut seen) = (vec![start], BTreeSet::new());
    while let Some(state) = open.pop() {
        let before = open.len();
        for (who, steps) in program.iter().enumerate() {
            if let Some(step) = steps.get(state.processes[who].next) {
                open.extend(after(&state, who, *step));
            }
        }
        if open.len() == before {
            let loaded = state.processes.into_iter().flat_map(|one| one.loaded);
            seen.insert(loaded.collect());
        }
    }
    seen
}

/// The states that one step can lead to.
fn after(state: &State, who: usize, step: Step) -> Vec<State> {
    let mut state = state.clone();
    state.processes[who].next += 1;
    match step {
        Step::Store(number, order) => {
            let view = &mut state.processes[who].view;
            view[number] = state.stores[number].len();
            let gives = if releases(order) { *view } else { [0; NUMBERS] };
            if order == Ordering::SeqCst {
                state.common = join(state.common, *view);
            }
            state.stores[number].push((1, gives));
            vec![state]
        }
        Step::Load(number, order) => {
            let process = &mut state.processes[who];
            if order == Ordering::SeqCst {
                process.view[number] =
                    process.view[number].max(state.common[number]);
            }
            let from = process.view[number];
            let seen = (from..state.stores[number].len()).map(|which| {
                let mut next = state.clone();
                let process = &mut next.processes[who];
                let (value, gives) = state.stores[number][which];
                process.view[number] = which;
                if acquires(order) {
                    process.view = join(process.view, gives);
                }
                process.loaded.push(value);
                next
            });
            seen.collect()
        }
        #[cfg(test)]
        Step::Membarrier => {
            let latest = std::array::from_fn(|at| state.stores[at].len() - 1);
            state.common = latest;
            for process in &mut state.processes {
                process.view = latest;
            }
            vec![state]
        }
    }
}

fn releases(order: Ordering) -> bool {
    matches!(order, Ordering::Release | Ordering::SeqCst)
}

fn acquires(order: Ordering) -> bool {
    matches!(order, Ordering::Acquire | Ordering::SeqCst)
}

fn join(a: View, b: View) -> View {
    std::array::from_fn(|number| a[number].max(b[number]))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

    use super::Step::{Load, Membarrier, Store};
    use super::{Step, outcomes};

    /// The ring's `head`, and the word that says whether its receiver ever sleeps: 0 as
    /// a receiver that spins left it, 1 as a receiver that may sleep has it.
    const HEAD: usize = 0;
    const WORD: usize = 1;

    /// Whether a sender can find the old word, while a receiver that is new finds the old
    /// head and sleeps.
    fn missed(receiver: &[Step]) -> bool {
        let sender = [Store(HEAD, Release), Load(WORD, Relaxed)];
        outcomes(&[&sender, receiver]).contains(&vec![0, 0])
    }

    #[test]
    fn who_sleeps_after_one_who_spun_needs_the_barrier() {
        assert!(missed(&[Store(WORD, SeqCst), Load(HEAD, Acquire)]));
        assert!(missed(&[Store(WORD, SeqCst), Load(HEAD, SeqCst)]));
        assert!(missed(&[Membarrier, Store(WORD, SeqCst), Load(HEAD, SeqCst)]));
        assert!(!missed(&[Store(WORD, SeqCst), Membarrier, Load(HEAD, Acquire)]));
    }
}
