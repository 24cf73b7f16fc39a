//! The contract that every chapter keeps, over command lines.
//!
//! It knows two commands and their limits, not the code behind them, so that a program in
//! any language can be held to it, and a test does not link the chapters. Each clause runs
//! real processes in a directory of its own, waits for events and never for time, and checks
//! that nothing is left behind. A chapter that is a conversation is asked the same: its client
//! is the sender, and what "arrived" is what the client printed, the echo of what it sent.
//!
//! Every clause is asked of every chapter ([`each_clause`]), and those
//! for queues of every queue ([`each_clause_for_queues`]);
//! where a clause cannot be asked, the chapter's test says why.
//!
//! [`messages`]: what arrives, and what is refused · [`meeting`]: either order, and names
//! that are stale, taken or hostile · [`deaths`]: killed peers, signals, timeouts ·
//! [`queues`]: which messages wait, and for which role.

pub mod deaths;
mod leftovers;
pub mod meeting;
pub mod messages;
pub mod queues;
mod subject;
mod verdict;

pub use deaths::*;
pub use leftovers::left_behind;
pub use meeting::*;
pub use messages::*;
pub use queues::*;
pub use subject::{Chapter, DEADLINE, Queue, Ran, Subject};
pub use verdict::{failed_clearly, noise};

/// One clause: how the subject breaks it, if it does.
pub type Clause = fn(&Subject) -> anyhow::Result<()>;

/// The list of all clauses: `$macro!(clause);` for each, by name.
#[macro_export]
macro_rules! each_clause {
    ($macro:ident) => {
        $macro!(one_message);
        $macro!(a_thousand_in_order);
        $macro!(an_empty_message);
        $macro!(the_largest_message);
        $macro!(one_byte_too_many);
        $macro!(arguments_are_checked_first);
        $macro!(binary_bytes);
        $macro!(sixty_four_mebibytes_arrive_to_the_byte);
        $macro!(lines_of_many_lengths_arrive_as_sent);
        $macro!(a_closed_output_is_a_quiet_end);
        $macro!(the_sender_may_be_first);
        $macro!(the_receiver_may_be_first);
        $macro!(a_stale_name_is_recovered);
        $macro!(a_taken_name_is_refused);
        $macro!(a_link_is_refused);
        $macro!(an_unsafe_directory_is_refused);
        $macro!(the_sender_is_killed);
        $macro!(the_sender_is_killed_in_full_flow);
        $macro!(the_receiver_is_killed);
        $macro!(signals_clear_up);
        $macro!(a_timeout_is_status_124);
    };
}

/// The list of the clauses for queues alone.
#[macro_export]
macro_rules! each_clause_for_queues {
    ($macro:ident) => {
        $macro!(sending_may_end_before_receiving_starts);
        $macro!(a_stream_without_messages_ends_too);
        $macro!(count_stops_like_head_and_leaves_the_rest);
        $macro!(a_sender_says_that_it_sleeps_before_it_does);
        $macro!(two_receivers_share_what_one_sender_sends);
        $macro!(a_second_sender_is_told_who_has_the_place);
        $macro!(silence_is_explained_after_two_seconds);
        $macro!(a_line_too_long_is_refused_with_the_way_out);
        $macro!(a_refused_message_leaves_no_queue_behind);
        $macro!(clean_keeps_what_waits_unless_told_otherwise);
    };
}
