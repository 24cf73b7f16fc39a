use crate::seen;

#[test]
fn a_negative_type_takes_the_lowest_up_to_it_not_the_first() {
    let Some(saw) = seen("sysvmq/lowest-not-first") else { return };
    assert_eq!(saw["-50 took type"], 20);
    assert_eq!(saw["90 took type"], 90);
    assert_eq!(saw["0 took type"], 70);
}

#[test]
fn type_0_takes_the_oldest_where_a_posix_queue_gives_the_most_urgent() {
    let Some(saw) = seen("sysvmq/type-is-no-priority") else { return };
    assert_eq!(saw["1 then 9: System V gave"], 1);
    assert_eq!(saw["1 then 9: POSIX gave"], 9);
    assert_eq!(saw["9 then 1: System V gave"], 9);
    assert_eq!(saw["9 then 1: POSIX gave"], 9);
}

#[test]
fn a_server_that_takes_any_type_takes_its_own_replies() {
    let Some(saw) = seen("sysvmq/replies-by-pid") else { return };
    assert_eq!(saw["broken: the server took its own reply"], true);
    assert_eq!(saw["broken: the client got it"], false);
    assert_eq!(saw["cured: the server took its own reply"], false);
    assert_eq!(saw["cured: the client got it"], true);
}

#[test]
fn msg_copy_copies_by_position_and_leaves_all_messages() {
    let Some(saw) = seen("sysvmq/peek-by-copy") else { return };
    assert_eq!(saw["msgtyp 1 copied type"], 10);
    assert_eq!(saw["messages left"], 3);
    assert_eq!(saw["without IPC_NOWAIT"], "EINVAL: Invalid argument");
}

#[test]
fn a_size_that_counts_the_type_gives_away_what_lies_behind() {
    let Some(saw) = seen("sysvmq/size-without-type") else { return };
    assert_eq!(saw["broken: bytes received"], 16);
    assert_eq!(saw["broken: text received"], r"hello\0\0\0password");
    assert_eq!(saw["cured: bytes received"], 8);
    assert_eq!(saw["cured: text received"], r"hello\0\0\0");
}

#[test]
fn a_message_over_the_buffer_stays_until_msg_noerror_cuts_it() {
    let Some(saw) = seen("sysvmq/too-long-stays") else { return };
    assert_eq!(saw["of three tries, refused with E2BIG"], 3);
    assert_eq!(saw["with MSG_NOERROR"], "twelve b");
    assert_eq!(saw["then"], "next");
}

#[test]
fn msg_qbytes_also_counts_messages_so_that_empty_ones_fill_a_queue() {
    let Some(saw) = seen("sysvmq/empty-messages-fill") else { return };
    let msgmnb = std::fs::read_to_string("/proc/sys/kernel/msgmnb").unwrap();
    let msgmnb: u64 = msgmnb.trim().parse().unwrap();
    assert_eq!(saw["empty messages that fitted"], msgmnb);
    assert_eq!(saw["then"], "EAGAIN: Try again");
    assert_eq!(saw["bytes in the full queue"], 0);
}

#[test]
fn a_message_over_msg_qbytes_sleeps_before_an_empty_queue() {
    let Some(saw) = seen("sysvmq/larger-than-the-queue") else { return };
    assert_eq!(saw["with IPC_NOWAIT"], "EAGAIN: Try again");
    assert_eq!(saw["it slept"], true);
    assert_eq!(saw["messages in the queue then"], 0);
    assert_eq!(saw["raising msg_qbytes let it through"], true);
}

#[test]
fn ftok_gives_one_key_for_1_and_257_and_for_hard_links() {
    let Some(saw) = seen("sysvmq/ftok-collides") else { return };
    assert_eq!(saw["1 and 257 give one key"], true);
    assert_eq!(saw["file and link give one key"], true);
    let formula = "the key is 8 + 8 + 16 bits of number, device, inode";
    assert_eq!(saw[formula], true);
}

#[test]
fn a_file_that_was_replaced_has_another_key() {
    let Some(saw) = seen("sysvmq/ftok-of-a-new-file") else { return };
    assert_eq!(saw["the key is the same"], false);
    assert_eq!(saw["the client found"], "ENOENT: No such file or directory");
}

#[test]
fn a_stranger_finds_and_uses_a_private_queue_whose_mode_allows_it() {
    let Some(saw) = seen("sysvmq/private-is-no-secret") else { return };
    assert_eq!(saw["the child's own call found its parent's queue"], false);
    assert_eq!(saw["the stranger found the identifier"], true);
    assert_eq!(saw["received"], serde_json::json!(["child", "hello"]));
    if nix::unistd::geteuid().is_root() {
        let refused = "EACCES: Permission denied";
        assert_eq!(saw["what mode 0600 told the stranger"], refused);
    }
}

#[test]
fn the_umask_counts_for_mq_open_and_not_for_msgget() {
    let Some(saw) = seen("sysvmq/umask-is-ignored") else { return };
    assert_eq!(saw["the System V queue"], "0666");
    assert_eq!(saw["the POSIX queue"], "0600");
}

#[test]
fn sleepers_on_a_removed_queue_get_eidrm_and_later_callers_einval() {
    let Some(saw) = seen("sysvmq/removed-under-sleepers") else { return };
    assert_eq!(saw["the sleeping sender"], "EIDRM: Identifier removed");
    assert_eq!(saw["the sleeping receiver"], "EIDRM: Identifier removed");
    assert_eq!(saw["a later sender"], "EINVAL: Invalid argument");
}

#[test]
fn requests_that_fill_the_queue_of_the_replies_stop_everyone() {
    let Some(saw) = seen("sysvmq/one-queue-both-ways") else { return };
    assert_eq!(saw["with one queue all three sleep for ever"], true);
    assert_eq!(saw["with two queues they do"], false);
}

#[test]
fn poll_knows_no_identifiers_but_a_pipe_behind_a_pump() {
    let Some(saw) = seen("sysvmq/select-cannot-watch") else { return };
    assert_eq!(saw["of the identifier"], "POLLNVAL");
    assert_eq!(saw["a message was there"], true);
    assert_eq!(saw["of the pipe"], "POLLIN");
}

#[test]
fn sa_restart_restarts_mq_receive_and_never_msgrcv() {
    let Some(saw) = seen("sysvmq/restart-does-not-help") else { return };
    assert_eq!(saw["mq_receive slept on"], true);
    assert_eq!(saw["mq_receive got the message then"], true);
    assert_eq!(saw["msgrcv slept on"], false);
    assert_eq!(saw["msgrcv returned"], "EINTR: Interrupted system call");
}

#[test]
fn another_ipc_namespace_knows_neither_the_key_nor_the_identifier() {
    let Some(saw) = seen("sysvmq/other-namespace") else { return };
    assert_eq!(saw["by the key"], "ENOENT: No such file or directory");
    assert_eq!(saw["by the identifier"], "EINVAL: Invalid argument");
    assert_eq!(saw["outside it is there"], true);
}
