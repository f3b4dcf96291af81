//! What to do next after an error: one line for each code where there is something to do.

use flotilla_types::ErrorCode;

/// What to do about a connection that was not to be had, or not encrypted as one side wants it. Only the words
/// of the error tell that.
pub(crate) fn about_encryption(message: &str) -> Option<&'static str> {
    const SAID: [(&str, &str); 4] = [
        (
            "speaks TLS",
            "--ca-file names the authorities that the nodes have their certificates from; --tls goes by \
             those that this machine believes",
        ),
        (
            "invalid peer certificate",
            "--ca-file names the authorities that the nodes have their certificates from; a certificate also \
             has to be for the name in --bootstrap",
        ),
        (
            "corrupt message of type InvalidContentType",
            "the nodes may not speak TLS: try without --tls, --ca-file and --certificate-file",
        ),
        (
            "fatal alert: CertificateRequired",
            "the nodes want to see a certificate: --certificate-file and --key-file name one",
        ),
    ];
    let said = SAID.iter().find(|(words, _)| message.contains(words));
    said.map(|(_, hint)| *hint)
}

#[expect(clippy::too_many_lines, reason = "one arm for each code")]
pub(crate) const fn of(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::BatchTooLarge => {
            Some("`topic alter TOPIC --config max_record_bytes=BYTES` raises the limit, up to 8MiB")
        }
        ErrorCode::ClusterMismatch => {
            Some("the nodes of --bootstrap must be of one cluster; see `cluster status`")
        }
        ErrorCode::ConfigInvalid => {
            Some("`topic describe TOPIC` shows every key of a topic's configuration")
        }
        ErrorCode::CorruptData => {
            Some("move the leadership to another replica with `cluster transfer-leader`")
        }
        ErrorCode::DiskFull => {
            Some("free disk space on the nodes, or shorten the topics' retention")
        }
        ErrorCode::GroupFull => Some("`group list` shows the groups, `group delete` removes one"),
        ErrorCode::GroupNotEmpty => Some("stop its members first; `group describe` shows them"),
        ErrorCode::Internal => Some("the node's log says more"),
        ErrorCode::IdentityUnavailable => {
            Some("try again in a moment; the node's log says why it does not reach the issuer")
        }
        ErrorCode::JobHeld => Some("`job list` shows who owns it"),
        ErrorCode::LeaderNotAvailable | ErrorCode::NotLeader => {
            Some("try again in a moment; `cluster status` shows partitions without a leader")
        }
        ErrorCode::NotEnoughNodes => Some(
            "`cluster status` shows which nodes are up and active; `cluster add-node` adds one",
        ),
        ErrorCode::OffsetOutOfRange => Some(
            "`cluster status` shows the offsets of every partition; `consume --from start` begins \
             with the oldest record kept",
        ),
        ErrorCode::Overloaded => Some("try again, more slowly: --rate limits what is sent"),
        ErrorCode::PermissionDenied => Some(
            "`acl test --as WHO --publish TOPIC` says which rule is missing, `acl grant` adds it",
        ),
        ErrorCode::ProducerFenced => Some("another producer of this identity has taken over"),
        ErrorCode::RecordInvalid => Some("`schema list TOPIC` shows the topic's schema"),
        ErrorCode::ResultUnknown => Some("it may have been applied: look before you try again"),
        ErrorCode::SchemaIncompatible => Some(
            "`schema check TOPIC --file F` tries a schema out; schema_compatibility of the topic \
             says what is asked of it",
        ),
        ErrorCode::SchemaRequired => Some("`schema create TOPIC --file F` gives it one"),
        ErrorCode::ShuttingDown => Some("try again: another node takes over"),
        ErrorCode::Timeout => Some(
            "is the cluster running and --bootstrap right? A longer --timeout, or \
             --delivery-timeout for records, waits longer",
        ),
        ErrorCode::TopicExists => Some("--if-not-exists accepts a topic that exists"),
        ErrorCode::TopicProtected => {
            Some("`topic alter TOPIC --config protected=false` takes the protection away")
        }
        ErrorCode::Unauthenticated => Some(
            "--token-file names the file with a token or key; `auth explain` says which check failed",
        ),
        ErrorCode::UnknownGroup => Some("`group list` shows the groups"),
        ErrorCode::UnknownNode | ErrorCode::UnknownPartition => {
            Some("`cluster status` and `topic describe` show what there is")
        }
        ErrorCode::UnknownSchema => Some("`schema list TOPIC` shows the versions there are"),
        ErrorCode::UnknownTopic => Some("`topic list` shows the topics, `topic create` makes one"),
        ErrorCode::VersionConflict => Some("look at it again, and repeat the change"),
        ErrorCode::BatchMalformed
        | ErrorCode::ChecksumMismatch
        | ErrorCode::CoordinatorFull
        | ErrorCode::InvalidArgument
        | ErrorCode::InvalidGroupId
        | ErrorCode::InvalidJobName
        | ErrorCode::InvalidTopicName
        | ErrorCode::KeyExists
        | ErrorCode::OutOfOrderSequence
        | ErrorCode::SchemaInvalid
        | ErrorCode::StaleGeneration
        | ErrorCode::StaleToken
        | ErrorCode::UnknownCodec
        | ErrorCode::UnknownKey
        | ErrorCode::UnknownMember
        | ErrorCode::UnknownProducer => None,
    }
}
