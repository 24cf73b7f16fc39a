use crate::seen;

#[test]
fn the_highest_priority_comes_first_and_the_oldest_within_one() {
    let Some(saw) = seen("posixmq/priority-order") else { return };
    assert_eq!(saw["received"], "b d a c");
}

#[test]
fn an_urgent_message_waits_behind_the_senders_that_sleep_already() {
    let Some(saw) = seen("posixmq/urgent-waits-outside") else { return };
    assert_eq!(saw["priorities, as received"], serde_json::json!([0, 1, 9]));
}

#[test]
fn a_timeout_is_a_moment_and_counts_only_when_the_call_must_sleep() {
    let Some(saw) = seen("posixmq/timeout-is-a-time") else { return };
    assert_eq!(saw["with {60 s}"], "ETIMEDOUT: Connection timed out");
    assert_eq!(saw["a minute had passed"], false);
    assert_eq!(saw["with {now + 60 s}, bytes received"], 5);
    assert_eq!(saw["with {60 s} and a message there, bytes received"], 4);
}

#[test]
fn a_queue_is_full_of_messages_however_short() {
    let Some(saw) = seen("posixmq/full-queue") else { return };
    assert_eq!(saw["the third sender slept"], true);
    assert_eq!(saw["messages, after one was taken"], 2);
    assert_eq!(saw["with O_NONBLOCK"], "EAGAIN: Try again");
}

#[test]
fn a_buffer_below_msgsize_is_refused_and_the_message_stays() {
    let Some(saw) = seen("posixmq/small-buffer") else { return };
    assert_eq!(saw["with room for 100"], "EMSGSIZE: Message too long");
    assert_eq!(saw["messages left"], 1);
    assert_eq!(saw["with room for mq_msgsize"], 5);
}

#[test]
fn the_first_to_open_decides_the_shape_and_the_second_is_told_nothing() {
    let Some(saw) = seen("posixmq/shape-of-the-first") else { return };
    assert_eq!(saw["the second succeeded"], true);
    assert_eq!(saw["the shape"], "2 messages of 64 bytes");
    assert_eq!(saw["sending 100 bytes"], "EMSGSIZE: Message too long");
}

#[test]
fn an_ordinary_user_gets_einval_over_msg_max_and_over_msgsize_max() {
    let Some(saw) = seen("posixmq/over-msg-max") else { return };
    assert_eq!(saw["one message over msg_max"], "EINVAL: Invalid argument");
    assert_eq!(saw["one byte over msgsize_max"], "EINVAL: Invalid argument");
    assert_eq!(saw["1 message of 16 bytes is allowed"], true);
}

#[test]
fn a_queue_takes_96_bytes_a_message_more_and_too_many_bytes_are_emfile() {
    let Some(saw) = seen("posixmq/queue-bytes") else { return };
    assert_eq!(saw["with 81,920 bytes"], "EMFILE: Too many open files");
    let least = saw["the least that is enough"].as_u64().unwrap();
    if nix::unistd::geteuid().is_root() {
        assert_eq!(least, 10 * (8_192 + 96));
        assert_eq!(saw["such queues within 819,200 bytes"], 9);
    } else {
        assert!(least >= 10 * (8_192 + 96), "{least}: other queues count too");
    }
}

#[test]
fn mq_notify_tells_once_of_the_first_message_in_an_empty_queue() {
    let Some(saw) = seen("posixmq/notify-one-shot") else { return };
    assert_eq!(saw["signals for the first message"], 1);
    assert_eq!(saw["signals for the second"], 0);
    assert_eq!(saw["signals for the third"], 0);
    assert_eq!(saw["signals for the fourth, into the empty queue"], 0);
}

#[test]
fn to_drain_before_registering_again_misses_all_that_follows() {
    let Some(saw) = seen("posixmq/rearm-then-drain") else { return };
    assert_eq!(saw["broken: received"], 1);
    assert_eq!(saw["broken: signals for B, for C"], serde_json::json!([0, 0]));
    assert_eq!(saw["cured: received"], 2);
    assert_eq!(saw["cured: signals for B, for C"], serde_json::json!([0, 1]));
}

#[test]
fn a_sleeping_receiver_gets_the_message_and_the_registration_stays() {
    let Some(saw) = seen("posixmq/notify-and-a-sleeper") else { return };
    assert_eq!(saw["bytes the receiver got"], 5);
    assert_eq!(saw["signals for the first message"], 0);
    assert_eq!(saw["signals for the next, when nobody sleeps"], 1);
}

#[test]
fn closing_another_descriptor_of_the_queue_ends_the_registration() {
    let Some(saw) = seen("posixmq/notify-lost-by-close") else { return };
    assert_eq!(saw["registered after another process closed it"], true);
    assert_eq!(saw["signals after this process closed another"], 0);
    assert_eq!(saw["registering again succeeds"], true);
}

#[test]
fn a_queue_can_be_polled_beside_a_pipe() {
    let Some(saw) = seen("posixmq/pollable") else { return };
    assert_eq!(saw["empty"], "POLLOUT");
    assert_eq!(saw["full"], "POLLIN");
    assert_eq!(saw["poll slept on the empty queue"], true);
    assert_eq!(saw["it woke up for the queue"], true);
    assert_eq!(saw["it woke up for the pipe"], false);
}

#[test]
fn read_of_a_queue_tells_about_it_and_takes_nothing() {
    let Some(saw) = seen("posixmq/read-tells") else { return };
    assert_eq!(saw["it says"], "QSIZE:11 NOTIFY:0 SIGNO:0 NOTIFY_PID:0");
    assert_eq!(saw["messages left"], 2);
}

#[test]
fn an_unlinked_queue_lives_on_beside_a_new_one_of_its_name() {
    let Some(saw) = seen("posixmq/unlink-while-open") else { return };
    assert_eq!(saw["without O_CREAT"], "ENOENT: No such file or directory");
    assert_eq!(saw["messages in the client's queue"], 1);
    assert_eq!(saw["the server still sleeps"], true);
    assert_eq!(saw["the server received"], "old");
}

#[test]
fn a_killed_sender_leaves_its_queue_with_its_messages() {
    let Some(saw) = seen("posixmq/crash-leaves-it") else { return };
    assert_eq!(saw["the sender was killed"], true);
    assert_eq!(saw["messages left"], 2);
}

#[test]
fn a_queue_that_is_open_works_from_another_ipc_namespace() {
    let Some(saw) = seen("posixmq/other-namespace") else { return };
    assert_eq!(saw["sent by the descriptor"], true);
    assert_eq!(saw["by the name"], "ENOENT: No such file or directory");
    assert_eq!(saw["messages in the queue"], 1);
}
