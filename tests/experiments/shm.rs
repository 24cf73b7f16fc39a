use serde_json::json;

use crate::seen;

#[test]
fn two_times_a_hundred_can_be_two_and_an_atomic_or_a_semaphore_cures_it() {
    let Some(saw) = seen("shm/lost-counts") else { return };
    assert_eq!(saw["load, add, store"], 2);
    assert_eq!(saw["fetch_add"], 200);
    assert_eq!(saw["1 each, with a semaphore"], 2);
}

#[test]
fn false_sharing_loses_no_count() {
    let Some(saw) = seen("shm/false-sharing") else { return };
    assert_eq!(saw["counted 8 bytes apart"], json!([500_000, 500_000]));
    assert_eq!(saw["counted 128 bytes apart"], json!([500_000, 500_000]));
}

#[test]
fn a_pointer_leads_elsewhere_in_another_process_and_an_offset_does_not() {
    let Some(saw) = seen("shm/addresses") else { return };
    assert_eq!(saw["at the pointer"], "adieu");
    assert_eq!(saw["at the offset"], "hello");
}

#[test]
fn what_has_a_name_before_it_has_a_size_is_einval_or_sigbus() {
    let Some(saw) = seen("shm/before-sized") else { return };
    assert_eq!(saw["mapping what fstat says"], "EINVAL: Invalid argument");
    assert_eq!(saw["the load"], "killed by SIGBUS");
    assert_eq!(saw["cured, too early"], "ENOENT: No such file or directory");
    assert_eq!(saw["cured, size when it has its name"], 4096);
}

#[test]
fn a_load_makes_a_page_of_shared_memory_and_a_read_does_not() {
    let Some(saw) = seen("shm/looking-costs") else { return };
    assert_eq!(saw["taken after ftruncate()"], 0);
    assert_eq!(saw["taken after read()"], 0);
    let taken = saw["taken after the loads"].as_u64().expect("a number");
    assert!(taken >= 1 << 20, "{taken}");
}

#[test]
fn an_unlinked_object_lives_on_beside_a_new_one_of_its_name() {
    let Some(saw) = seen("shm/unlinked-name") else { return };
    assert_eq!(saw["B sees"], "two");
    assert_eq!(saw["C sees"], "000");
    assert_eq!(saw["B and C have the same object"], false);
}

#[test]
fn a_dead_owner_keeps_an_ordinary_mutex_and_not_a_robust_one() {
    let Some(saw) = seen("shm/owner-dies") else { return };
    assert_eq!(saw["asleep for ever"], true);
    assert_eq!(saw["told, by a robust mutex"], true);
    assert_eq!(saw["told again, once it is mended"], false);
}

#[test]
fn a_robust_mutex_that_nobody_mended_is_lost_to_all() {
    let Some(saw) = seen("shm/not-mended") else { return };
    assert_eq!(saw["the next got"], "EOWNERDEAD: Owner died");
    let lost = "ENOTRECOVERABLE: State not recoverable";
    assert_eq!(saw["all others got"], json!([lost, lost]));
}

#[test]
fn a_message_can_be_missed_unless_release_meets_acquire() {
    let Some(saw) = seen("shm/relaxed") else { return };
    assert_eq!(saw["missed, stored Relaxed, loaded Relaxed"], true);
    assert_eq!(saw["missed, stored Release, loaded Relaxed"], true);
    assert_eq!(saw["missed, stored Relaxed, loaded Acquire"], true);
    assert_eq!(saw["missed, stored Release, loaded Acquire"], false);
}

#[test]
fn with_release_and_acquire_each_can_miss_the_others_flag_and_not_with_seqcst() {
    let Some(saw) = seen("shm/store-buffering") else { return };
    assert_eq!(saw["both found 0"], true);
    assert_eq!(saw["both found 0, with SeqCst"], false);
    assert_eq!(saw["both can load 0, stored Release, loaded Acquire"], true);
    assert_eq!(saw["both can load 0, stored Release, loaded SeqCst"], true);
    assert_eq!(saw["both can load 0, stored SeqCst, loaded SeqCst"], false);
}

#[test]
fn a_childs_drop_removes_the_name_for_all_unless_it_gave_it_up() {
    let Some(saw) = seen("shm/crate-fork") else { return };
    assert_eq!(saw["found, once the child drops it"], false);
    assert_eq!(saw["found, once the child gives it up, then drops it"], true);
    assert_eq!(saw["the parent's load, once the child drops it"], "0");
}

#[test]
fn what_a_killed_owner_had_made_stays_and_refuses_the_next() {
    let Some(saw) = seen("shm/crate-killed") else { return };
    assert_eq!(saw["create again"], "MappingIdExists");
    assert_eq!(saw["in what open finds"], "old");
}

#[test]
fn a_forced_link_takes_the_first_ones_name_and_loses_the_second_ones() {
    let Some(saw) = seen("shm/crate-force") else { return };
    assert_eq!(saw["the second could create"], true);
    assert_eq!(saw["the link leads to the second"], true);
    assert_eq!(saw["the third got"], "LinkOpenFailed");
    assert_eq!(saw["the second's memory is there"], true);
}

#[test]
fn a_removed_segment_lives_while_it_is_attached() {
    let Some(saw) = seen("shm/removed-while-attached") else { return };
    assert_eq!(saw["A read"], "one");
    assert_eq!(saw["C got"], "ENOENT: No such file or directory");
    assert_eq!(saw["it went with A"], true);
}

#[test]
fn a_segment_that_nobody_has_stays_with_its_bytes() {
    let Some(saw) = seen("shm/nobody-attached") else { return };
    assert_eq!(saw["nattch after its end"], 0);
    assert_eq!(saw["the bytes"], "one");
}

#[test]
fn python_unlinks_what_it_has_only_attached() {
    let Some(saw) = seen("shm/tracker") else { return };
    assert_eq!(saw["the third program"], "ENOENT: No such file or directory");
    assert_eq!(saw["the memory itself is still there"], true);
    assert_eq!(saw["after unregister"], "0");
}
