//! `acl`: list, grant, revoke, test. `auth`: explain. `key`: create, list, delete, generate.

mod arguments;
mod render;

use std::io::Read;

use flotilla_client::{AccessQuestion, Admin};
use flotilla_identity::ApiKey;

pub(crate) use arguments::{AclCommand, AuthCommand, KeyCommand};

use self::arguments::{RuleArgs, TestArgs};
use crate::failure::Failure;
use crate::{Exit, GlobalOptions, Io, Output};

/// A token is much smaller; what is larger was not meant.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

pub(crate) async fn run_acl(
    command: AclCommand,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let Io {
        output, interrupt, ..
    } = io;
    let work = async {
        let admin = global.admin().await?;
        match command {
            AclCommand::List => {
                let rules = admin.list_access_rules().await;
                let rules = rules.map_err(Failure::cluster("list the access rules"))?;
                render::rules(&rules, global.output, output)?;
                Ok(Exit::Done)
            }
            AclCommand::Grant(rule) => {
                change(&admin, texts(&rule), Vec::new(), (global, output)).await
            }
            AclCommand::Revoke(rule) => {
                change(&admin, Vec::new(), texts(&rule), (global, output)).await
            }
            AclCommand::Test(args) => test(&admin, args, (global, output)).await,
        }
    };
    interrupt.unless_raised(work).await
}

pub(crate) async fn run_auth(
    command: AuthCommand,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let Io {
        output, interrupt, ..
    } = io;
    let AuthCommand::Explain = command;
    let work = async {
        let token = match global.token()? {
            Some(token) => token,
            None => read_token()?,
        };
        let admin = global.admin_as_nobody()?;
        let explained = admin.explain_token(token.trim()).await;
        let explained = explained.map_err(Failure::cluster("explain the token"))?;
        render::explanation(&explained, global.output, output)?;
        Ok(match explained.principal {
            Some(_) => Exit::Done,
            None => Exit::Denied,
        })
    };
    interrupt.unless_raised(work).await
}

pub(crate) async fn run_keys(
    command: KeyCommand,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let Io {
        output, interrupt, ..
    } = io;
    if matches!(command, KeyCommand::Generate) {
        let (key, _) = ApiKey::generate();
        output.line(key.reveal())?;
        return Ok(Exit::Done);
    }
    let work = async {
        let admin = global.admin().await?;
        match command {
            KeyCommand::Create { name } => {
                let key = admin.create_key(&name).await;
                let key = key.map_err(Failure::cluster(format!("create key {name}")))?;
                render::key(&name, &key, global.output, output)?;
            }
            KeyCommand::List => {
                let keys = admin.list_keys().await;
                let keys = keys.map_err(Failure::cluster("list the keys"))?;
                render::keys(&keys, global.output, output)?;
            }
            KeyCommand::Delete { name } => {
                let deleted = admin.delete_key(&name).await;
                deleted.map_err(Failure::cluster(format!("delete key {name}")))?;
            }
            KeyCommand::Generate => {}
        }
        Ok(Exit::Done)
    };
    interrupt.unless_raised(work).await
}

/// One rule for each action.
fn texts(rule: &RuleArgs) -> Vec<String> {
    let RuleArgs {
        principal,
        actions,
        resource,
    } = rule;
    let actions = actions.iter();
    actions
        .map(|action| format!("{principal} {action} {resource}"))
        .collect()
}

async fn change(
    admin: &Admin,
    grant: Vec<String>,
    revoke: Vec<String>,
    (global, output): (&GlobalOptions, &mut Output),
) -> Result<Exit, Failure> {
    let changed = admin.change_access_rules(grant, revoke).await;
    let changed = changed.map_err(Failure::cluster("change the access rules"))?;
    render::changed(changed, global.output, output)?;
    Ok(Exit::Done)
}

async fn test(
    admin: &Admin,
    args: TestArgs,
    (global, output): (&GlobalOptions, &mut Output),
) -> Result<Exit, Failure> {
    let (action, resource) = match (args.what.publish, args.what.consume, args.what.anything) {
        (Some(topic), _, _) => ("publish".to_owned(), format!("topic:{topic}")),
        (_, Some(topic), _) => ("consume".to_owned(), format!("topic:{topic}")),
        (_, _, Some(words)) => {
            let words: Result<[String; 2], _> = words.try_into();
            let [action, resource] = words.expect("invariant: the option takes two words");
            (action, resource)
        }
        (None, None, None) => unreachable!("invariant: one of the options is needed"),
    };
    let question = AccessQuestion {
        principal: args.principal,
        scopes: args.scopes,
        claims: args.claims.into_iter().collect(),
        action,
        resource,
    };
    let answer = admin.test_access(question.clone()).await;
    let answer = answer.map_err(Failure::cluster("test access"))?;
    render::answer(&question, &answer, global.output, output)?;
    Ok(match answer.allowed {
        true => Exit::Done,
        false => Exit::Denied,
    })
}

fn read_token() -> Result<String, Failure> {
    let mut token = String::new();
    let read = std::io::stdin()
        .take(TOKEN_BYTES_MAX)
        .read_to_string(&mut token);
    read.map_err(|error| Failure::usage(format!("cannot read a token from stdin: {error}")))?;
    Ok(token)
}
