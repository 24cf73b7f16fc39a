use serde_json::json;

use crate::seen;

#[test]
fn a_file_written_in_place_is_seen_half_and_a_renamed_one_whole() {
    let Some(saw) = seen("file/half-written") else { return };
    assert_eq!(saw["in the middle, in place"], "new price ");
    assert_eq!(saw["in the middle, rename"], "old price 10");
}

#[test]
fn seek_and_write_lose_an_append_and_o_append_loses_none() {
    let Some(saw) = seen("file/lost-append") else { return };
    assert_eq!(saw["lseek, then write"], "from B\n");
    assert_eq!(saw["with O_APPEND"], "from A\nfrom B\n");
}

#[test]
fn only_o_excl_has_one_holder() {
    let Some(saw) = seen("file/created-twice") else { return };
    assert_eq!(saw["holders with O_CREAT"], 2);
    assert_eq!(saw["holders with O_CREAT | O_EXCL"], 1);
}

#[test]
fn one_file_for_both_directions_gives_its_end_or_ones_own_words() {
    let Some(saw) = seen("file/own-words") else { return };
    assert_eq!(saw["read"], 0);
    assert_eq!(saw["read from the beginning"], 8);
}

#[test]
fn closing_any_descriptor_drops_a_traditional_lock_and_no_other_kind() {
    let Some(saw) = seen("file/close-drops-lock") else { return };
    assert_eq!(saw["still locked, fcntl"], false);
    assert_eq!(saw["still locked, OFD"], true);
    assert_eq!(saw["still locked, flock"], true);
}

#[test]
fn a_child_can_unlock_what_flock_locked() {
    let Some(saw) = seen("file/lock-and-fork") else { return };
    assert_eq!(saw["flock's lock is held"], false);
    assert_eq!(saw["fcntl's lock is held"], true);
}

#[test]
fn a_circle_of_traditional_locks_is_refused_and_one_of_ofd_locks_hangs() {
    let Some(saw) = seen("file/deadlock") else { return };
    assert_eq!(saw["refused with EDEADLK"], 1);
    assert_eq!(saw["asleep for ever with OFD locks"], 2);
}

#[test]
fn a_watch_on_the_file_goes_with_the_file() {
    let Some(saw) = seen("file/watched-file") else { return };
    assert_eq!(saw["at the rename"], json!(["IN_IGNORED"]));
    assert_eq!(saw["of the write, the file's watch"], json!([]));
    let directory = json!(["IN_MODIFY", "IN_CLOSE_WRITE"]);
    assert_eq!(saw["of the write, the directory's watch"], directory);
}

#[test]
fn equal_events_that_wait_are_merged() {
    let Some(saw) = seen("file/counted-events") else { return };
    assert_eq!(saw["events of three writes, read at the end"], 1);
    assert_eq!(saw["events of three writes, read after each"], 3);
}

#[test]
fn unlocking_the_middle_leaves_two_ranges() {
    let Some(saw) = seen("file/unlocked-middle") else { return };
    assert_eq!(saw["locks"], 2);
    let free = serde_json::json!([false, true, true, false]);
    assert_eq!(saw["bytes 0, 40, 49, 50 can be locked"], free);
}

#[test]
fn a_process_does_not_conflict_with_itself_unless_the_open_file_owns_the_lock() {
    let Some(saw) = seen("file/own-second-lock") else { return };
    let refused = serde_json::json!([false, true]);
    assert_eq!(saw["refused by F_SETLK and F_OFD_SETLK"], refused);
}

#[test]
fn only_a_traditional_lock_has_a_pid() {
    let Some(saw) = seen("file/who-has-it") else { return };
    assert_eq!(saw["byte 0: l_pid"], "-1");
    assert_eq!(saw["byte 0: in /proc/locks"], "-1");
    assert_eq!(saw["byte 1: l_pid"], "its owner's pid");
    assert_eq!(saw["byte 1: in /proc/locks"], "its owner's pid");
}
