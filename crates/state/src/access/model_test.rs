//! Random rules against what they mean, told in the simplest words.

use std::collections::BTreeSet;

use flotilla_types::{Principal, PrincipalKind};
use proptest::prelude::*;

use super::{
    AccessAction, AccessRule, AccessRules, NamePattern, PrincipalPattern, Resource, ResourceKind,
    ResourcePattern,
};

/// A piece of a name pattern, as it is generated.
#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Wildcard,
    Claim(&'static str),
    Name,
}

fn claim_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["x", "y", "https://issuer/z"])
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        4 => "[ab.]{1,2}".prop_map(Piece::Text),
        3 => Just(Piece::Wildcard),
        1 => claim_name().prop_map(Piece::Claim),
        1 => Just(Piece::Name),
    ]
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    prop::collection::vec(piece(), 1..7)
}

fn text_of(pieces: &[Piece]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Wildcard => "*".to_owned(),
        Piece::Claim(name) => format!("{{claim:{name}}}"),
        Piece::Name => "{name}".to_owned(),
    };
    pieces.iter().map(text).collect()
}

/// Values of claims: some could be taken for wildcards or templates, some are no part of a name.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ab.]{1,2}",
        1 => prop::sample::select(vec!["*", "a*", "{name}", "a/b", "ä", ""]).prop_map(str::to_owned),
    ]
}

fn principal() -> impl Strategy<Value = Principal> {
    let kind = prop::sample::select(vec![
        PrincipalKind::Key,
        PrincipalKind::Certificate,
        PrincipalKind::Token,
    ]);
    let scopes = prop::collection::vec("[st]", 0..3);
    let claims = prop::collection::vec((claim_name(), value()), 0..3);
    let named = (kind, "[ab:]{1,2}", scopes, claims).prop_map(|(kind, name, scopes, claims)| {
        let claims = claims.into_iter();
        let claims = claims.map(|(name, value)| (name.to_owned(), value));
        Principal::named(kind, &name)
            .unwrap()
            .with_facts(scopes, claims)
    });
    prop_oneof![
        8 => named,
        1 => Just(Principal::anonymous()),
        1 => Just(Principal::node()),
    ]
}

fn principal_pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        Just("anonymous".to_owned()),
        prop::sample::select(vec!["token:*", "key:*", "certificate:*"]).prop_map(str::to_owned),
        "(token|key|certificate):[ab:]{1,2}",
        "scope:[st]",
    ]
}

fn resource_pattern() -> impl Strategy<Value = (ResourceKind, String)> {
    (prop::sample::select(ResourceKind::ALL), pieces()).prop_map(|(kind, pieces)| {
        let text = match kind.has_names() {
            true => format!("{kind}:{}", text_of(&pieces)),
            false => kind.to_string(),
        };
        (kind, text)
    })
}

fn rule() -> impl Strategy<Value = AccessRule> {
    (
        principal_pattern(),
        resource_pattern(),
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(principal, (kind, resource), action, is_all)| {
            let action = match is_all {
                true => AccessAction::All,
                false => *action.get(kind.actions()),
            };
            let principal = PrincipalPattern::parse(&principal).unwrap();
            let resource = ResourcePattern::parse(&resource).unwrap();
            AccessRule::new(principal, action, resource).unwrap()
        })
}

fn name() -> impl Strategy<Value = String> {
    "[ab.]{1,6}"
}

/// The pieces as characters, where `None` is a wildcard; or nothing if a template has no value that
/// is part of a name.
fn characters(pieces: &[Piece], principal: &Principal) -> Option<Vec<Option<char>>> {
    let mut characters = Vec::new();
    for piece in pieces {
        let text = match piece {
            Piece::Wildcard => {
                characters.push(None);
                continue;
            }
            Piece::Text(text) => text.as_str(),
            Piece::Claim(name) => principal.claim(name)?,
            Piece::Name => principal.name(),
        };
        let is_part = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if text.is_empty() || !text.chars().all(is_part) {
            return None;
        }
        characters.extend(text.chars().map(Some));
    }
    Some(characters)
}

/// Tries everything.
fn fits(pattern: &[Option<char>], name: &[char]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((None, after)), _) => {
            fits(after, name)
                || name
                    .split_first()
                    .is_some_and(|(_, name)| fits(pattern, name))
        }
        (Some((Some(_), _)), None) => false,
        (Some((Some(wanted), after)), Some((found, name))) => wanted == found && fits(after, name),
    }
}

proptest! {
    #[test]
    fn rules_are_read_as_they_are_written(rule in rule()) {
        let text = rule.to_string();
        let read = AccessRule::parse(&text).unwrap();
        prop_assert_eq!(&read, &rule);
        prop_assert_eq!(read.to_string(), text);
    }

    #[test]
    fn what_is_read_from_any_text_is_written_and_read_alike(
        text in "[a-z:*{} .ä/]{0,30}",
        resource in "(topic|group|job|cluster|access)?:?[a-z*{}:]{0,12}",
    ) {
        for text in [text, format!("* describe {resource}"), format!("{resource} all cluster")] {
            if let Ok(rule) = AccessRule::parse(&text) {
                prop_assert_eq!(AccessRule::parse(&rule.to_string()), Ok(rule));
            }
        }
    }

    #[test]
    fn patterns_match_what_trying_everything_matches(
        pieces in pieces(),
        name in name(),
        principal in principal(),
    ) {
        let pattern = NamePattern::parse(&text_of(&pieces)).unwrap();
        let name_characters: Vec<_> = name.chars().collect();
        let expected = characters(&pieces, &principal)
            .is_some_and(|pattern| fits(&pattern, &name_characters));
        prop_assert_eq!(pattern.matches(&name, &principal), expected);
    }

    #[test]
    fn the_index_answers_as_if_every_rule_were_asked(
        granted in prop::collection::vec(rule(), 0..40),
        revoked in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        again in prop::collection::vec(rule(), 0..10),
        requests in prop::collection::vec(
            (
                principal(),
                prop::sample::select(AccessAction::EVERY),
                prop::sample::select(ResourceKind::ALL),
                name(),
            ),
            1..20,
        ),
    ) {
        let mut rules: AccessRules = granted.iter().cloned().collect();
        let mut expected: BTreeSet<_> = granted.iter().cloned().collect();
        let chosen = revoked.iter().filter(|_| !granted.is_empty());
        let revoked: BTreeSet<_> = chosen.map(|index| index.get(&granted)).collect();
        prop_assert_eq!(rules.revoke(revoked.iter().copied()), revoked.len());
        expected.retain(|rule| !revoked.contains(rule));
        for rule in again {
            prop_assert_eq!(rules.grant(rule.clone()), expected.insert(rule));
        }
        prop_assert!(rules.iter().eq(expected.iter()));
        for (principal, action, kind, name) in requests {
            let resource = Resource::new(kind, &name);
            let is_allowed = principal.kind() == PrincipalKind::Node
                || expected.iter().any(|rule| rule.allows(&principal, action, resource));
            prop_assert_eq!(rules.allows(&principal, action, resource), is_allowed);
            let explanation = rules.explain(&principal, action, resource);
            prop_assert_eq!(explanation.is_allowed(), is_allowed);
        }
    }
}
