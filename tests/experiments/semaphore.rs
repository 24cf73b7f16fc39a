use crate::seen;
use serde_json::json;

#[test]
fn a_semaphore_keeps_posts_that_nobody_waits_for() {
    let Some(saw) = seen("semaphore/posts-are-kept") else { return };
    assert_eq!(saw["sem_wait returned so often"], 3);
}

#[test]
fn anyone_may_post_a_semaphore_that_is_used_as_a_lock() {
    let Some(saw) = seen("semaphore/no-owner") else { return };
    assert_eq!(saw["B's sem_post"], "0");
    assert_eq!(saw["C entered while A was inside"], true);
    assert_eq!(saw["the value once A has left"], 1);
}

#[test]
fn a_value_does_not_tell_how_many_sleep() {
    let Some(saw) = seen("semaphore/value-of-sleepers") else { return };
    assert_eq!(saw["sem_getvalue with two sleepers"], 0);
    assert_eq!(saw["GETVAL with two sleepers"], 0);
    assert_eq!(saw["GETNCNT with two sleepers"], 2);
    assert_eq!(saw["all four sleep"], true);
}

#[test]
fn a_post_between_semget_and_setval_is_lost_unless_it_waits_for_sem_otime() {
    let Some(saw) = seen("semaphore/create-then-init") else { return };
    assert_eq!(saw["the value, where B posts at once"], 0);
    assert_eq!(saw["the value, where B waits for sem_otime"], 1);
}

#[test]
fn setval_leaves_sem_otime_and_semop_sets_it() {
    let Some(saw) = seen("semaphore/setval-leaves-otime") else { return };
    assert_eq!(saw["sem_otime after semget"], "0");
    assert_eq!(saw["sem_otime after SETVAL"], "0");
    assert_eq!(saw["sem_otime after a semop that failed"], "0");
    assert_eq!(saw["sem_otime after a semop"], "a time");
}

#[test]
fn after_a_crash_sem_open_finds_the_value_that_the_dead_one_left() {
    let Some(saw) = seen("semaphore/stale-value") else { return };
    assert_eq!(saw["the program sleeps in sem_wait"], true);
    assert_eq!(saw["the value then"], 0);
}

#[test]
fn sem_unlink_and_sem_open_make_a_second_semaphore_of_the_same_name() {
    let Some(saw) = seen("semaphore/unlink-splits") else { return };
    assert_eq!(saw["the waiter slept on"], true);
    assert_eq!(saw["the value of the new one"], 1);
    assert_eq!(saw["the value of the old one"], 0);
    assert_eq!(saw["a post to the old one woke it"], true);
}

#[test]
fn with_sem_undo_the_lock_of_a_killed_process_comes_back() {
    let Some(saw) = seen("semaphore/undo-after-kill") else { return };
    assert_eq!(saw["without SEM_UNDO the next one got it"], false);
    assert_eq!(saw["with SEM_UNDO the next one got it"], true);
}

#[test]
fn sem_undo_takes_posts_back_when_the_producer_exits_down_to_0() {
    let Some(saw) = seen("semaphore/undo-a-post") else { return };
    assert_eq!(saw["while the producer lived"], 2);
    assert_eq!(saw["with SEM_UNDO, after its exit"], 0);
    assert_eq!(saw["without, after its exit"], 2);
}

#[test]
fn each_process_has_its_own_account_of_what_to_undo() {
    let Some(saw) = seen("semaphore/given-back-by-a-child") else { return };
    assert_eq!(saw["given back with it, once the child had ended"], 0);
    assert_eq!(saw["given back with it, once both had ended"], 1);
    assert_eq!(saw["given back without, once the child had ended"], 1);
    assert_eq!(saw["given back without, once both had ended"], 2);
}

#[test]
fn setval_clears_what_was_to_be_undone() {
    let Some(saw) = seen("semaphore/setval-forgets-undo") else { return };
    assert_eq!(saw["after SETVAL 1 and its end"], 1);
    assert_eq!(saw["after SETVAL 0 and its end"], 0);
    assert_eq!(saw["after its end alone"], 1);
}

#[test]
fn a_semop_takes_all_that_it_names_or_nothing() {
    let Some(saw) = seen("semaphore/all-or-nothing") else { return };
    assert_eq!(saw["while A sleeps"], json!([1, 0]));
    assert_eq!(saw["B could take the first"], true);
    assert_eq!(saw["with the second alone A slept on"], true);
    assert_eq!(saw["with both it came through"], true);
    assert_eq!(saw["after that"], json!([0, 0]));
}

#[test]
fn swapped_waits_sleep_for_ever_and_one_semop_for_both_does_not() {
    let Some(saw) = seen("semaphore/swapped-waits") else { return };
    assert_eq!(saw["one by one, both came through"], false);
    assert_eq!(saw["a third one with a timeout"], "EAGAIN: Try again");
    assert_eq!(saw["both at once, both came through"], true);
}

#[test]
fn who_waits_for_two_is_passed_by_those_who_wait_for_one() {
    let Some(saw) = seen("semaphore/big-wait-starves") else { return };
    assert_eq!(saw["after the first post A sleeps"], true);
    assert_eq!(saw["after the first post B sleeps"], false);
    assert_eq!(saw["after the second post A sleeps"], true);
    assert_eq!(saw["after the second post C sleeps"], false);
}

#[test]
fn a_barrier_in_one_semop_sleeps_for_ever_and_in_two_it_does_not() {
    let Some(saw) = seen("semaphore/wait-for-zero") else { return };
    assert_eq!(saw["one call: they sleep"], serde_json::json!([true, true]));
    assert_eq!(saw["one call: the value"], 2);
    assert_eq!(saw["two calls: they sleep"], serde_json::json!([false, false]));
    assert_eq!(saw["two calls: the value"], 0);
}

#[test]
fn a_futex_looks_at_its_word_again_and_keeps_no_wake_up() {
    let Some(saw) = seen("semaphore/wake-before-sleep") else { return };
    assert_eq!(saw["a bare wake-up woke"], "0");
    assert_eq!(saw["then the waiter"], "sleeps");
    assert_eq!(saw["the post woke"], "0");
    assert_eq!(saw["after the post the waiter"], "EAGAIN: Try again");
}

#[test]
fn a_private_futex_never_wakes_another_process() {
    let Some(saw) = seen("semaphore/private-futex") else { return };
    assert_eq!(saw["private: it woke"], "0");
    assert_eq!(saw["private: A slept on"], true);
    assert_eq!(saw["private: the word"], 1);
    assert_eq!(saw["shared: it woke"], "1");
    assert_eq!(saw["shared: A slept on"], false);
}

#[test]
fn a_semaphore_for_threads_wakes_no_other_process() {
    let Some(saw) = seen("semaphore/who-gets-it") else { return };
    let both = |a: bool, c: bool| serde_json::json!([a, c]);
    assert_eq!(saw["pshared 0: A and C have it"], both(false, true));
    assert_eq!(saw["pshared 1: A and C have it"], both(true, false));
}

#[test]
fn sem_init_of_a_semaphore_that_is_in_use_lets_two_in() {
    let Some(saw) = seen("semaphore/made-by-each") else { return };
    assert_eq!(saw["by sem_init, both are at work"], true);
    assert_eq!(saw["by sem_open, B is kept out"], true);
    assert_eq!(saw["the value of the named one"], 0);
}

#[test]
fn a_set_whose_creator_was_killed_is_made_by_who_takes_its_lock() {
    let Some(saw) = seen("semaphore/creator-dies") else { return };
    assert_eq!(saw["B goes on, where it looks for sem_otime"], false);
    assert_eq!(saw["B goes on, where it takes A's lock"], true);
}
