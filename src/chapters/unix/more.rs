//! The two types of socket that carry packets: what is not on the plain path.

pub mod dgram;
pub mod packet;
pub mod seqpacket;
