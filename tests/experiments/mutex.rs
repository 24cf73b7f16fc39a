use crate::seen;
use serde_json::json;

#[test]
fn nobody_has_the_mutex_while_a_process_waits_for_a_condition() {
    let Some(saw) = seen("mutex/unlocked-while-asleep") else { return };
    assert_eq!(saw["trylock, while it sleeps"], "0");
    assert_eq!(saw["it sleeps until the unlock"], true);
    assert_eq!(saw["its own unlock then"], "0");
}

#[test]
fn a_condition_variable_keeps_no_signal() {
    let Some(saw) = seen("mutex/signal-before-wait") else { return };
    assert_eq!(saw["asleep, waiting for a signal"], true);
    assert_eq!(saw["asleep, waiting until it is ready"], false);
}

#[test]
fn with_if_two_take_one_item() {
    let Some(saw) = seen("mutex/if-not-while") else { return };
    assert_eq!(saw["items, with if"], -1);
    assert_eq!(saw["items, with while"], 0);
    assert_eq!(saw["taken, with while"], 1);
}

#[test]
fn a_mutex_that_is_made_again_has_two_owners() {
    let Some(saw) = seen("mutex/made-twice") else { return };
    assert_eq!(saw["C's trylock"], "0");
    assert_eq!(saw["so many have it at once"], 2);
}

#[test]
fn a_private_mutex_wakes_no_other_process() {
    let Some(saw) = seen("mutex/not-shared") else { return };
    assert_eq!(saw["B, without the attribute"], "sleeps");
    assert_eq!(saw["B, with PTHREAD_PROCESS_SHARED"], "0");
}

#[test]
fn a_default_mutex_sleeps_at_its_own_owner() {
    let Some(saw) = seen("mutex/locked-twice") else { return };
    assert_eq!(saw["asleep: default"], true);
    assert_eq!(saw["asleep: errorcheck"], false);
    assert_eq!(saw["asleep: recursive"], false);
}

#[test]
fn only_its_owner_unlocks_a_robust_mutex() {
    let Some(saw) = seen("mutex/unlocked-by-another") else { return };
    assert_eq!(saw["B's unlock"], "EPERM");
    assert_eq!(saw["B's trylock after it"], "EBUSY");
    assert_eq!(saw["A's own unlock"], "0");
}

#[test]
fn a_signalled_process_may_find_nothing() {
    let Some(saw) = seen("mutex/stolen-item") else { return };
    assert_eq!(saw["W's call"], "0");
    assert_eq!(saw["items, as W finds it"], 0);
}

#[test]
fn a_change_without_the_lock_is_missed() {
    let Some(saw) = seen("mutex/signal-without-lock") else { return };
    assert_eq!(saw["W sleeps, and ready is 1"], true);
    assert_eq!(saw["W sleeps, where S locked"], false);
}

#[test]
fn a_timeout_of_3600_has_passed_since_1970() {
    let Some(saw) = seen("mutex/timeout-is-a-time") else { return };
    assert_eq!(saw["the call"], "ETIMEDOUT");
}

#[test]
fn a_handler_does_not_end_the_wait_for_a_condition() {
    let Some(saw) = seen("mutex/handler-while-waiting") else { return };
    assert_eq!(saw["it slept on"], true);
    assert_eq!(saw["the handler ran so often"], 1);
    assert_eq!(saw["the call in the end"], "0");
}

#[test]
fn consistent_mends_nothing() {
    let Some(saw) = seen("mutex/half-done") else { return };
    assert_eq!(saw["the third's lock"], "0");
    assert_eq!(saw["together, after a promise"], 70);
    assert_eq!(saw["together, mended by the note"], 100);
}

#[test]
fn a_waiter_that_was_killed_takes_a_signal() {
    let Some(saw) = seen("mutex/killed-waiter") else { return };
    assert_eq!(saw["B was woken so often"], 1);
    assert_eq!(saw["B slept on at the second signal"], true);
}

#[test]
fn a_ready_word_does_not_tell_that_its_writer_died() {
    let Some(saw) = seen("mutex/creator-dies") else { return };
    assert_eq!(saw["B came to an end by looking"], false);
    assert_eq!(saw["B came to an end by the lock"], true);
}

#[test]
fn a_packed_record_is_not_a_struct() {
    let Some(saw) = seen("mutex/padding") else { return };
    assert_eq!(saw["bytes that were written"], 5);
    assert_eq!(saw["bytes of the struct"], 8);
    assert_eq!(saw["the second field"], "0x00000001");
}

#[test]
fn a_dead_reader_keeps_every_writer_out() {
    let Some(saw) = seen("mutex/reader-dies") else { return };
    assert_eq!(saw["the writer sleeps"], true);
}

#[test]
fn a_barrier_counts_who_was_killed_at_it() {
    let Some(saw) = seen("mutex/barrier-counts-the-dead") else { return };
    assert_eq!(saw["B and C sleep"], false);
    assert_eq!(saw["of B and C, PTHREAD_BARRIER_SERIAL_THREAD got"], 1);
}

#[test]
fn trylock_gets_the_mutex_of_a_dead_owner() {
    let Some(saw) = seen("mutex/trylock-of-the-dead") else { return };
    assert_eq!(saw["B's trylock"], "EOWNERDEAD");
    assert_eq!(saw["C's trylock after it"], "EBUSY");
}

#[test]
fn the_end_of_a_thread_is_the_death_of_an_owner() {
    let Some(saw) = seen("mutex/owner-is-a-thread") else { return };
    assert_eq!(saw["B, while A's process lives"], "EOWNERDEAD");
}

#[test]
fn execve_is_the_death_of_an_owner() {
    let Some(saw) = seen("mutex/owner-by-exec") else { return };
    assert_eq!(saw["trylock, while the pid lives"], "EOWNERDEAD");
}

#[test]
fn one_signal_may_wake_the_one_that_cannot_use_it() {
    let Some(saw) = seen("mutex/one-condition-for-two") else { return };
    assert_eq!(saw["the producer was woken so often"], 1);
    assert_eq!(saw["the consumer was woken so often"], 0);
}

#[test]
fn a_wait_ends_with_eownerdead_as_a_lock_does() {
    let Some(saw) = seen("mutex/dead-signaller") else { return };
    assert_eq!(saw["W's pthread_cond_wait"], "EOWNERDEAD");
    assert_eq!(saw["W's unlock after it"], "0");
}

#[test]
fn readers_pass_a_writer_that_waits() {
    let Some(saw) = seen("mutex/reader-beside-writer") else { return };
    assert_eq!(saw["the second reader sleeps"], false);
    assert_eq!(saw["the writer sleeps"], true);
}

#[test]
fn a_mapping_keeps_the_lock_of_a_closed_file() {
    let Some(saw) = seen("mutex/lock-outlives-close") else { return };
    let both = json!(["EAGAIN", "0"]);
    let names = ["B, after A's close", "B, after A's LOCK_UN and close"];
    assert_eq!(json!(names.map(|name| saw[name].clone())), both);
}

#[test]
fn a_length_that_is_loaded_twice_was_checked_once() {
    let Some(saw) = seen("mutex/length-read-twice") else { return };
    assert_eq!(saw["bytes, with two loads"], 5000);
    assert_eq!(saw["bytes, with one load"], 8);
}

#[test]
fn rust_and_c_lay_out_the_same_fields_otherwise() {
    let Some(saw) = seen("mutex/field-order") else { return };
    assert_eq!(saw["bytes in Rust and in C"], serde_json::json!([16, 24]));
    assert_eq!(saw["C finds what Rust has stored"], false);
}

#[test]
fn a_version_tells_a_reader_that_a_field_is_not_where_it_was() {
    let Some(saw) = seen("mutex/grown") else { return };
    assert_eq!(saw["by the magic alone"], 0x8000_0001_u32);
    assert_eq!(saw["by magic, version and size"], serde_json::Value::Null);
}
