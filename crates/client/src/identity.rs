//! Names that a process gives itself.

use flotilla_types::MemberId;

/// A name like no other. It is the same in every attempt at one thing, so that one whose answer is
/// lost leaves nobody behind for whom nobody speaks.
pub(crate) fn new_identity() -> MemberId {
    let name = format!("{:032x}", rand::random::<u128>());
    MemberId::parse(&name).expect("invariant: hexadecimal digits make a member id")
}
