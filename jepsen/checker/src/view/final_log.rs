//! What one replica had at the end.

use crate::history::{NodeNumber, StoredLog};

#[derive(Clone, Copy, Debug)]
pub(crate) struct FinalLog<'a> {
    pub(crate) node: NodeNumber,
    pub(crate) operation: usize,
    pub(crate) log: &'a StoredLog,
}
