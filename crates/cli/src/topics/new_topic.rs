//! What `topic create` is told, by its arguments or by the user at the terminal.

use std::collections::BTreeMap;

use flotilla_client::{NewTopic, TopicName};
use flotilla_types::limits::TOPIC_PARTITIONS_MAX;
use flotilla_types::{TopicProfile, TopicProfileError, Visibility};

use super::arguments::CreateArgs;
use super::pairs;
use crate::failure::Failure;
use crate::prompt::Prompt;

const VISIBILITY: &str = "visibility";
const NO_PROFILE: &str = "none";

/// Everything is asked for where the name is missing, and nothing where it was given: who names the
/// topic knows the rest.
pub(super) async fn complete(
    mut args: CreateArgs,
    mut prompt: Prompt<'_>,
) -> Result<NewTopic, Failure> {
    if args.name.is_none() {
        let name = prompt.required(None, "<NAME>", "Name of the topic", TopicName::parse);
        args.name = Some(name.await?);
        if visibility(&args).is_none() && !args.config.iter().any(|pair| pair.key == VISIBILITY) {
            let private = Visibility::Private.as_str();
            let chosen = prompt.ask("Public or private", Some(private), parse_visibility);
            match chosen.await? {
                Visibility::Public => args.public = true,
                Visibility::Private => args.private = true,
            }
        }
        if args.partitions.is_none() {
            let partitions = prompt.ask("Number of partitions", Some("1"), parse_partitions);
            args.partitions = Some(partitions.await?);
        }
        if args.profile.is_none() {
            let known = TopicProfile::ALL.map(|profile| profile.name).join(", ");
            let question = format!("Profile: {NO_PROFILE}, {known}");
            args.profile = prompt
                .ask(&question, Some(NO_PROFILE), parse_profile)
                .await?;
        }
    }
    new_topic(args)
}

fn new_topic(args: CreateArgs) -> Result<NewTopic, Failure> {
    let visibility = visibility(&args);
    let given = pairs(args.config)?;
    if visibility.is_some() && given.contains_key(VISIBILITY) {
        let message = "--public and --private say the same as --config visibility: use one of them";
        return Err(Failure::usage(message));
    }
    let profile = args.profile.map_or(&[][..], |profile| profile.config);
    let mut config: BTreeMap<_, _> = profile
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let visibility = visibility.map(|chosen| (VISIBILITY.to_owned(), chosen.as_str().to_owned()));
    config.extend(visibility);
    config.extend(given);
    let name = args
        .name
        .ok_or_else(|| Failure::usage("a topic has a name"))?;
    Ok(NewTopic {
        name,
        partitions: args.partitions,
        replication_factor: args.replication_factor,
        config,
    })
}

fn visibility(args: &CreateArgs) -> Option<Visibility> {
    match (args.public, args.private) {
        (true, _) => Some(Visibility::Public),
        (false, true) => Some(Visibility::Private),
        (false, false) => None,
    }
}

/// Whether a topic takes no records before somebody gives it a schema.
pub(super) fn needs_schema(config: &BTreeMap<String, String>) -> bool {
    let visibility = config.get(VISIBILITY).map(String::as_str);
    visibility == Some(Visibility::Public.as_str())
}

fn parse_visibility(text: &str) -> Result<Visibility, &'static str> {
    let mut all = [Visibility::Public, Visibility::Private].into_iter();
    let chosen = all.find(|visibility| visibility.as_str() == text.to_lowercase());
    chosen.ok_or("answer public or private")
}

fn parse_partitions(text: &str) -> Result<u32, String> {
    let count = text.parse().ok();
    let count = count.filter(|count| (1..=TOPIC_PARTITIONS_MAX).contains(count));
    count.ok_or_else(|| format!("answer a number from 1 to {TOPIC_PARTITIONS_MAX}"))
}

fn parse_profile(text: &str) -> Result<Option<TopicProfile>, TopicProfileError> {
    match text {
        NO_PROFILE => Ok(None),
        name => TopicProfile::parse(name).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;
    use crate::output::Captured;
    use crate::prompt::Scripted;
    use crate::values::parse_key_value;

    fn arguments(name: Option<&str>) -> CreateArgs {
        CreateArgs {
            name: name.map(|name| TopicName::parse(name).unwrap()),
            partitions: None,
            replication_factor: None,
            profile: None,
            public: false,
            private: false,
            config: Vec::new(),
            if_not_exists: false,
        }
    }

    async fn ask<const N: usize>(
        args: CreateArgs,
        answers: [&str; N],
    ) -> (Result<NewTopic, Failure>, String) {
        let (mut output, captured) = Captured::new();
        let mut user = Scripted::new(answers);
        let topic = complete(args, Prompt::new(Some(&mut user), &mut output)).await;
        (topic, captured.notes())
    }

    fn value<'a>(topic: &'a NewTopic, key: &str) -> Option<&'a str> {
        topic.config.get(key).map(String::as_str)
    }

    #[tokio::test]
    async fn without_a_name_everything_is_asked_for() {
        let (topic, _) = ask(arguments(None), ["orders", "public", "6", "kbroker"]).await;
        let topic = topic.unwrap();
        assert_eq!((topic.name.as_str(), topic.partitions), ("orders", Some(6)));
        assert_eq!(value(&topic, "visibility"), Some("public"));
        assert_eq!(value(&topic, "max_record_bytes"), Some("65536"));
    }

    #[tokio::test]
    async fn empty_answers_are_the_defaults() {
        let (topic, notes) = ask(arguments(None), ["orders", "", "", ""]).await;
        let topic = topic.unwrap();
        assert_eq!(topic.partitions, Some(1));
        assert_eq!(value(&topic, "visibility"), Some("private"));
        assert_eq!(topic.config.len(), 1, "there is no profile");
        assert!(notes.contains("Public or private [private]: "), "{notes}");
    }

    #[tokio::test]
    async fn what_was_given_is_not_asked_for() {
        let args = CreateArgs {
            public: true,
            partitions: Some(2),
            profile: Some(TopicProfile::KBROKER),
            ..arguments(None)
        };
        let (topic, notes) = ask(args, ["orders"]).await;
        assert_eq!(topic.unwrap().partitions, Some(2));
        assert_eq!(notes, "Name of the topic: ");
        let (topic, notes) = ask(arguments(Some("orders")), []).await;
        assert_eq!(
            topic.unwrap(),
            NewTopic::new(TopicName::parse("orders").unwrap())
        );
        assert_eq!(notes, "");
    }

    #[tokio::test]
    async fn configuration_wins_over_the_profile() {
        let args = CreateArgs {
            profile: Some(TopicProfile::KBROKER),
            config: vec![parse_key_value("max_record_bytes=1000").unwrap()],
            ..arguments(Some("orders"))
        };
        let (topic, _) = ask(args, []).await;
        let topic = topic.unwrap();
        assert_eq!(value(&topic, "max_record_bytes"), Some("1000"));
        assert_eq!(value(&topic, "retention_ms"), Some("604800000"));
    }

    #[tokio::test]
    async fn the_visibility_is_said_once() {
        let args = CreateArgs {
            public: true,
            config: vec![parse_key_value("visibility=private").unwrap()],
            ..arguments(Some("orders"))
        };
        let (topic, _) = ask(args, []).await;
        assert_eq!(topic.unwrap_err().exit(), Exit::Usage);
    }

    #[test]
    fn only_a_public_topic_needs_a_schema() {
        let config = |value: &str| BTreeMap::from([("visibility".to_owned(), value.to_owned())]);
        assert!(needs_schema(&config("public")));
        assert!(!needs_schema(&config("private")));
        assert!(!needs_schema(&BTreeMap::new()));
    }
}
