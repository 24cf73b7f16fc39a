//! Built for MPI, they run; otherwise each says what it needs.

#[cfg(feature = "mpi")]
mod with_the_feature {
    use crate::seen;

    #[test]
    fn two_ranks_that_send_first_exchange_a_byte_and_hang_with_a_mebibyte() {
        let Some(saw) = seen("mpi/both-send-first") else { return };
        assert_eq!(saw["1 B was exchanged, both sending first"], true);
        assert_eq!(saw["1 MiB was exchanged by MPI_Sendrecv"], true);
        assert_eq!(saw["both have entered MPI_Send with 1 MiB"], true);
        assert_eq!(saw["neither has returned from it"], true);
        assert_eq!(saw["both ran all the while, and did not sleep"], true);
    }

    #[test]
    fn a_rank_in_mpi_recv_runs_while_one_in_open_sleeps() {
        let Some(saw) = seen("mpi/waiting-rank") else { return };
        let looks = &saw["three looks at rank 0 in MPI_Recv: it runs"];
        assert_eq!(*looks, serde_json::json!([true, true, true]));
        assert_eq!(saw["rank 1 in open(2) slept"], true);
    }

    #[test]
    fn a_tag_chooses_and_without_one_the_order_is_that_of_sending() {
        let Some(saw) = seen("mpi/wildcard-order") else { return };
        assert_eq!(saw["tag 2 got"], "message 2");
        assert_eq!(saw["tag 1 got"], "message 1");
        assert_eq!(saw["MPI_ANY_TAG, a thousand times"], "1000 in order");
    }

    #[test]
    fn a_wait_before_the_receive_makes_isend_a_send() {
        let Some(saw) = seen("mpi/wait-at-once") else { return };
        assert_eq!(saw["MPI_Wait behind MPI_Recv has returned"], true);
        assert_eq!(saw["both have entered the exchange with MPI_Wait first"], true);
        assert_eq!(saw["neither has returned from it"], true);
    }

    #[test]
    fn what_is_changed_before_the_wait_is_what_a_long_message_brings() {
        let Some(saw) = seen("mpi/buffer-reused") else { return };
        assert_eq!(saw["1 number, changed before MPI_Wait"], "1");
        assert_eq!(saw["1 MiB, changed before MPI_Wait"], "2");
        assert_eq!(saw["1 MiB, changed after MPI_Wait"], "1");
    }

    #[test]
    fn a_message_that_is_too_long_ends_the_job() {
        let Some(saw) = seen("mpi/truncated") else { return };
        assert_eq!(saw["MPI_Recv has returned"], false);
        assert_eq!(saw["the job ended"], true);
        assert_eq!(saw["mpiexec reports a failure"], true);
    }

    #[test]
    fn the_launcher_ends_the_others_when_a_rank_is_killed() {
        let Some(saw) = seen("mpi/rank-dies") else { return };
        assert_eq!(saw["rank 1 died"], true);
        assert_eq!(saw["rank 0's MPI_Recv has returned"], false);
        assert_eq!(saw["rank 0 was ended"], true);
    }
}

#[cfg(not(feature = "mpi"))]
mod without_the_feature {
    use crate::support::{self, Input, run};

    fn show(which: &str) -> support::Outcome {
        let home = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new(support::program());
        command
            .args(["experiment", which, "--show"])
            .env("XDG_STATE_HOME", home.path());
        run(command, Input::Nothing)
    }

    #[test]
    fn one_that_cannot_run_says_in_one_line_what_it_needs() {
        let told = show("mpi/both-send-first");
        assert_eq!(told.status.code(), Some(1));
        assert_eq!(told.stderr.lines().count(), 1, "{}", told.stderr);
        let says = "experiment mpi/both-send-first cannot run here: it needs the feature mpi, \
                    and mpiexec; ipclab doctor mpi tells more";
        assert!(told.stderr.contains(says), "{}", told.stderr);
    }

    #[test]
    fn several_that_cannot_run_are_said_aloud_and_are_no_failure() {
        let told = show("mpi");
        assert!(told.status.success(), "{}", told.stderr);
        let text = String::from_utf8_lossy(&told.stdout);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(text.matches("It needs the feature mpi").count(), 7, "{text}");
        let says = "ipclab: 7 of 7 experiments need what is not here\n";
        assert_eq!(told.stderr, says);
    }
}
