use serde_json::json;

use crate::seen;

#[test]
fn blocked_standard_signals_merge_and_real_time_ones_queue() {
    let Some(saw) = seen("signal/thousand") else { return };
    assert_eq!(saw["values of SIGUSR1"], json!([0]));
    assert_eq!(saw["SIGRTMIN taken"], 1000);
    assert_eq!(saw["SIGRTMIN in order"], true);
}

#[test]
fn the_lowest_number_is_taken_first() {
    let Some(saw) = seen("signal/overtaken") else { return };
    let order = json!(["SIGUSR2", "SIGRTMIN", "SIGRTMIN+1"]);
    assert_eq!(saw["taken in this order"], order);
}

#[test]
fn a_full_queue_refuses_sigqueue_and_loses_kill() {
    let Some(saw) = seen("signal/queue-limit") else { return };
    assert_eq!(saw["kill succeeded"], true);
    assert_eq!(saw["arrived"], saw["queued"], "the one that kill sent is lost");
    assert!(saw["queued"].as_u64().unwrap() < 100, "{saw}");
}

#[test]
fn sigkill_cannot_be_caught_and_blocking_it_succeeds_in_vain() {
    let Some(saw) = seen("signal/unstoppable") else { return };
    assert_eq!(saw["sigaction succeeded"], false);
    assert_eq!(saw["sigprocmask succeeded"], true);
    assert_eq!(saw["one that had blocked it was ended"], true);
}

#[test]
fn one_wait_for_each_sigchld_leaves_four_zombies_of_five() {
    let Some(saw) = seen("signal/five-children") else { return };
    assert_eq!(saw["SIGCHLD is pending"], true);
    assert_eq!(saw["reaped by one wait for each signal"], 1);
    assert_eq!(saw["reaped by the loop"], 4);
}

#[test]
fn poll_is_interrupted_in_spite_of_sa_restart_and_read_is_not() {
    let Some(saw) = seen("signal/eintr") else { return };
    assert_eq!(saw["poll was interrupted"], true);
    assert_eq!(saw["read went on"], true);
    assert_eq!(saw["read without the flag was interrupted"], true);
}

#[test]
fn a_signal_between_look_and_pause_wakes_nobody() {
    let Some(saw) = seen("signal/lost-wakeup") else { return };
    assert_eq!(saw["pause slept with the flag set"], true);
    assert_eq!(saw["sigsuspend returned"], true);
}

#[test]
fn a_signalfd_needs_its_signal_blocked() {
    let Some(saw) = seen("signal/signalfd") else { return };
    assert_eq!(saw["unblocked"], "ended by SIGTERM");
    assert_eq!(saw["blocked"], "read the signal");
}

#[test]
fn a_handler_that_wants_a_held_mutex_hangs() {
    let Some(saw) = seen("signal/lock-in-handler") else { return };
    assert_eq!(saw["with the mutex held, it hangs"], true);
    assert_eq!(saw["without, lines"], 1);
}

#[test]
fn the_sender_of_a_queued_signal_says_who_it_is() {
    let Some(saw) = seen("signal/forged") else { return };
    assert_eq!(saw["si_code is SI_QUEUE"], true);
    assert_eq!(saw["si_pid"], 1);
    assert_eq!(saw["si_uid"], 4242);
    if nix::unistd::geteuid().is_root() {
        assert_eq!(saw["another user is refused"], true);
    }
}

#[test]
fn a_reused_pid_is_hit_by_kill_and_not_by_a_pidfd() {
    let Some(saw) = seen("signal/pid-reuse") else { return };
    assert_eq!(saw["the pidfd said"], "ESRCH: No such process");
    assert_eq!(saw["the innocent was ended"], true);
}

#[test]
fn ctrl_z_is_a_request_that_a_handler_may_decline() {
    let Some(saw) = seen("signal/ctrl-z") else { return };
    assert_eq!(saw["Ctrl-Z stopped it"], false);
    assert_eq!(saw["SIGSTOP stopped it"], true);
}

#[test]
fn a_full_self_pipe_hangs_its_own_reader() {
    let Some(saw) = seen("signal/self-pipe") else { return };
    assert_eq!(saw["with a blocking pipe it hangs"], true);
    assert_eq!(saw["with a non-blocking one it goes on"], true);
    assert_eq!(saw["with signalfd, one read took them all"], true);
}
