//! What access is about: one thing of the cluster, and what a rule says about several.

use std::fmt;

use flotilla_types::{GroupId, JobName, NameError, Principal, TopicName};

use super::{AccessAction, AccessRuleError, NamePattern};

/// What kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    Topic,
    Group,
    Job,
    /// The cluster as such: its nodes and where things are.
    Cluster,
    /// Access rules and keys themselves.
    Access,
}

/// The one thing that somebody wants to do something to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource<'a> {
    Topic(&'a str),
    Group(&'a str),
    Job(&'a str),
    Cluster,
    Access,
}

/// What a rule is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourcePattern {
    kind: ResourceKind,
    /// None of the kinds without names, and of those only.
    name: Option<NamePattern>,
}

/// A text names nothing that access is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    #[error("something is named as topic:NAME, group:NAME, job:NAME, cluster or access")]
    Unreadable,
    #[error(transparent)]
    Name(#[from] NameError),
}

impl ResourceKind {
    pub const ALL: &'static [Self] = &[
        Self::Topic,
        Self::Group,
        Self::Job,
        Self::Cluster,
        Self::Access,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Group => "group",
            Self::Job => "job",
            Self::Cluster => "cluster",
            Self::Access => "access",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }

    pub const fn has_names(self) -> bool {
        match self {
            Self::Topic | Self::Group | Self::Job => true,
            Self::Cluster | Self::Access => false,
        }
    }

    /// What can be done to it, without [`AccessAction::All`].
    pub const fn actions(self) -> &'static [AccessAction] {
        match self {
            Self::Topic => &[
                AccessAction::Publish,
                AccessAction::Consume,
                AccessAction::Describe,
                AccessAction::Create,
                AccessAction::Alter,
                AccessAction::Delete,
            ],
            Self::Group => &[
                AccessAction::Consume,
                AccessAction::Describe,
                AccessAction::Alter,
                AccessAction::Delete,
            ],
            Self::Job => &[AccessAction::Own, AccessAction::Describe],
            Self::Cluster | Self::Access => &[AccessAction::Describe, AccessAction::Alter],
        }
    }

    pub fn takes(self, action: AccessAction) -> bool {
        action == AccessAction::All || self.actions().contains(&action)
    }
}

impl<'a> Resource<'a> {
    /// The name of a kind without names is not looked at.
    pub const fn new(kind: ResourceKind, name: &'a str) -> Self {
        match kind {
            ResourceKind::Topic => Self::Topic(name),
            ResourceKind::Group => Self::Group(name),
            ResourceKind::Job => Self::Job(name),
            ResourceKind::Cluster => Self::Cluster,
            ResourceKind::Access => Self::Access,
        }
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &'a str) -> Result<Self, ResourceError> {
        let (kind, name) = match text.split_once(':') {
            None => (text, None),
            Some((kind, name)) => (kind, Some(name)),
        };
        let kind = ResourceKind::parse(kind).ok_or(ResourceError::Unreadable)?;
        if kind.has_names() != name.is_some() {
            return Err(ResourceError::Unreadable);
        }
        let resource = Self::new(kind, name.unwrap_or_default());
        match resource {
            Self::Topic(name) => drop(TopicName::parse(name)?),
            Self::Group(name) => drop(GroupId::parse(name)?),
            Self::Job(name) => drop(JobName::parse(name)?),
            Self::Cluster | Self::Access => {}
        }
        Ok(resource)
    }

    pub const fn kind(self) -> ResourceKind {
        match self {
            Self::Topic(_) => ResourceKind::Topic,
            Self::Group(_) => ResourceKind::Group,
            Self::Job(_) => ResourceKind::Job,
            Self::Cluster => ResourceKind::Cluster,
            Self::Access => ResourceKind::Access,
        }
    }

    /// Empty for kinds without names.
    pub const fn name(self) -> &'a str {
        match self {
            Self::Topic(name) | Self::Group(name) | Self::Job(name) => name,
            Self::Cluster | Self::Access => "",
        }
    }
}

impl ResourcePattern {
    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Result<Self, AccessRuleError> {
        let (kind, name) = match text.split_once(':') {
            None => (text, None),
            Some((kind, name)) => (kind, Some(name)),
        };
        let kind = ResourceKind::parse(kind).ok_or_else(|| AccessRuleError::UnknownKind {
            found: kind.to_owned(),
        })?;
        match (kind.has_names(), name) {
            (true, Some(name)) if !name.is_empty() => Ok(Self {
                kind,
                name: Some(NamePattern::parse(name)?),
            }),
            (true, _) => Err(AccessRuleError::NameMissing { kind }),
            (false, None) => Ok(Self { kind, name: None }),
            (false, Some(_)) => Err(AccessRuleError::NameTooMuch { kind }),
        }
    }

    pub fn kind(&self) -> ResourceKind {
        self.kind
    }

    /// The one name that it stands for, whoever asks, if it is just one. Empty for kinds without names.
    pub(super) fn literal(&self) -> Option<&str> {
        match &self.name {
            None => Some(""),
            Some(name) => name.literal(),
        }
    }

    /// Whether it stands for this resource when this principal asks.
    pub fn matches(&self, resource: Resource<'_>, principal: &Principal) -> bool {
        let matches = |name: &NamePattern| name.matches(resource.name(), principal);
        self.kind == resource.kind() && self.name.as_ref().is_none_or(matches)
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match kind.has_names() {
            true => write!(f, "{kind}:{}", self.name()),
            false => write!(f, "{kind}"),
        }
    }
}

impl fmt::Display for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{}:{name}", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}

impl fmt::Debug for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
