//! A rank without a part.

use mpi::topology::SimpleCommunicator;
use mpi::traits::Communicator;

use wire::say;

/// Says that this rank has no part in a role for two.
pub(super) fn idle(world: &SimpleCommunicator) {
    say!("rank {} has no part in this: ranks 0 and 1 do it all", world.rank());
}
