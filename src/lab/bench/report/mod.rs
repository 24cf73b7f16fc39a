//! What a run of the bench says: to people, to programs and to the next run. All of it is
//! made from the one [`Report`](super::model::Report).

pub mod figures;
pub mod units;
