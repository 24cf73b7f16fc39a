use serde_json::{Value, json};

use crate::seen;

#[test]
fn past_the_last_page_of_the_file_is_sigbus_and_past_the_mapping_sigsegv() {
    let Some(saw) = seen("mmap/past-the-end") else { return };
    assert_eq!(saw["byte 4999"], "x");
    assert_eq!(saw["byte 5000"], "0");
    assert_eq!(saw["byte 8191"], "0");
    assert_eq!(saw["byte 8192"], "SIGBUS");
    assert_eq!(saw["byte 12288"], "SIGSEGV");
}

#[test]
fn a_mapping_is_whole_pages_whatever_was_asked_for() {
    let Some(saw) = seen("mmap/past-the-map") else { return };
    assert_eq!(saw["byte 5000"], "x");
    assert_eq!(saw["byte 8191"], "x");
    assert_eq!(saw["byte 8192"], "SIGSEGV");
    assert_eq!(saw["the file's byte 6000 then"], "!");
}

#[test]
fn a_store_past_the_end_of_the_file_is_not_kept() {
    let Some(saw) = seen("mmap/tail-bytes") else { return };
    assert_eq!(saw["size after the store"], 5000);
    assert_eq!(saw["at 6000"], 0);
}

#[test]
fn a_file_grows_into_a_mapping_that_was_longer_and_not_past_its_end() {
    let Some(saw) = seen("mmap/growing") else { return };
    assert_eq!(saw["A, before"], "SIGBUS");
    assert_eq!(saw["A, after"], "y");
    assert_eq!(saw["B, after"], "SIGSEGV");
}

#[test]
fn a_peer_that_truncates_kills_unless_the_memory_is_sealed() {
    let Some(saw) = seen("mmap/peer-truncates") else { return };
    assert_eq!(saw["a file: ftruncate was refused with"], Value::Null);
    assert_eq!(saw["a file: the load"], "SIGBUS");
    assert_eq!(saw["a file: the load, once it is long again"], "0");
    let refused = "EPERM: Operation not permitted";
    assert_eq!(saw["a sealed memfd: ftruncate was refused with"], refused);
    assert_eq!(saw["a sealed memfd: the load"], "!");
    assert_eq!(saw["a sealed memfd: the load, once it is long again"], "!");
}

#[test]
fn read_into_a_truncated_mapping_is_efault_and_loses_nothing() {
    let Some(saw) = seen("mmap/read-into-it") else { return };
    assert_eq!(saw["read returned"], "EFAULT: Bad address");
    assert_eq!(saw["bytes still in the pipe"], 5);
}

#[test]
fn map_and_read_are_one_file_without_msync() {
    let Some(saw) = seen("mmap/read-and-map") else { return };
    assert_eq!(saw["B read"], "n");
    assert_eq!(saw["A loaded after B's write"], "w");
}

#[test]
fn a_private_mapping_is_a_snapshot_only_of_the_pages_stored_in() {
    let Some(saw) = seen("mmap/private") else { return };
    assert_eq!(saw["in the page that P has stored in"], "a");
    assert_eq!(saw["in the page that P has only loaded from"], "b");
    assert_eq!(saw["the file's first byte"], "b");
}

#[test]
fn only_what_was_mapped_shared_before_fork_is_shared() {
    let Some(saw) = seen("mmap/anonymous") else { return };
    assert_eq!(saw["seen in (a), (b), (c)"], json!([false, true, false]));
}

#[test]
fn a_store_survives_kill_nine_and_a_buffer_does_not() {
    let Some(saw) = seen("mmap/kill-nine") else { return };
    assert_eq!(saw["mapped holds"], "new");
    assert_eq!(saw["buffered holds"], "old");
}

#[test]
fn ms_async_leaves_the_page_as_dirty_as_it_was() {
    let Some(saw) = seen("mmap/msync-async") else { return };
    assert_eq!(saw["dirty after the store"], 4096);
    assert_eq!(saw["dirty after msync(MS_ASYNC)"], 4096);
    assert_eq!(saw["dirty after msync(MS_SYNC)"], 0);
}

#[test]
fn a_byte_in_a_hole_takes_a_block_and_seek_data_finds_it() {
    let Some(saw) = seen("mmap/sparse") else { return };
    assert_eq!(saw["size"], 1 << 30);
    assert!(saw["taken"].as_u64().expect("a number") < 1 << 20, "{saw}");
    let found = saw["the first data are at"].as_u64().expect("a number");
    assert!(found <= 1 << 29 && found > (1 << 29) - (1 << 20), "{saw}");
}

#[test]
fn a_full_file_system_is_a_signal_unless_room_was_made_first() {
    let Some(saw) = seen("mmap/full-disk") else { return };
    assert_eq!(saw["the stores"], "SIGBUS");
    assert_eq!(saw["bytes taken by then"], 65_536);
    assert_eq!(saw["posix_fallocate"], "ENOSPC: No space left on device");
}
