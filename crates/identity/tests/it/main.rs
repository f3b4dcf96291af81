//! Identity as its callers see it: a real issuer on the loopback device, tokens that are really
//! signed, and everything that strangers and broken issuers may send.

#![allow(
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a story may stop at the first surprise, and is told in one piece"
)]

mod any_text;
mod arrangement;
mod explanations;
mod issuer_faults;
mod issuer_server;
mod issuer_tls;
mod key_documents;
mod key_rotation;
mod test_key;
mod token_cache;
mod token_corpus;
mod token_draft;
