//! Names of keys, other ways to bring a key, and types.

use serde_json::{Value, json};

use super::{Case, FOREIGN_P384, SECOND_P384, SECOND_P384_NEXT, World, bad, good};
use crate::test_key::P384;
use crate::token_draft::Draft;

pub(super) fn key_ids(world: &World) -> Vec<Case> {
    let not = |name, id: Value| bad(name, world.with_header("kid", id), "key", "has no key");
    let odd = |name, id: Value| bad(name, world.with_header("kid", id), "key", "not a string");
    let evil = "https://evil.example/keys";
    vec![
        good(
            "kid missing, one key for the algorithm",
            world.draft().without_header("kid").sign(&P384),
        ),
        bad(
            "kid missing, two keys for the algorithm",
            world
                .second_draft()
                .without_header("kid")
                .sign(&SECOND_P384),
            "key",
            "no key none",
        ),
        good(
            "kid of the second of two keys",
            Draft::new(&world.second.issuer(), &SECOND_P384_NEXT).sign(&SECOND_P384_NEXT),
        ),
        not("kid of nobody", json!("p384-9")),
        not("kid empty", json!("")),
        not("kid in upper case", json!("P384-1")),
        not("kid as a path", json!("../../../../dev/null")),
        not("kid as SQL", json!("x' UNION SELECT 'key'; --")),
        not("kid as a URL", json!(evil)),
        not("kid with a NUL at the end", json!("p384-1\0")),
        not("kid of a kilobyte", json!("k".repeat(1_000))),
        not("kid of another kind of key", json!("rsa-1")),
        bad(
            "kid of 10 KiB",
            world.with_header("kid", "k".repeat(10 << 10)),
            "form",
            "bytes",
        ),
        odd("kid as a number", json!(1)),
        odd("kid null", Value::Null),
        odd("kid as an object", json!({"kid": "p384-1"})),
        good("jku is not followed", world.with_header("jku", evil)),
        good("x5u is not followed", world.with_header("x5u", evil)),
        bad(
            "a key in the header counts nothing",
            world
                .draft()
                .header("jwk", FOREIGN_P384.jwk())
                .sign(&FOREIGN_P384),
            "signature",
            "",
        ),
        bad(
            "keys at the address in the header count nothing",
            world.draft().header("jku", evil).sign(&FOREIGN_P384),
            "signature",
            "",
        ),
        bad(
            "crit",
            world.with_header("crit", json!(["exp"])),
            "critical",
            "crit",
        ),
        bad(
            "crit empty",
            world.with_header("crit", json!([])),
            "critical",
            "crit",
        ),
        bad(
            "crit with an unencoded payload",
            world
                .draft()
                .header("crit", json!(["b64"]))
                .header("b64", false)
                .sign(&P384),
            "critical",
            "crit",
        ),
    ]
}

pub(super) fn types(world: &World) -> Vec<Case> {
    let good_type = |name, value: &str| good(name, world.with_header("typ", value));
    let not = |name, value: &str| bad(name, world.with_header("typ", value), "type", "of the type");
    vec![
        good_type("typ JWT", "JWT"),
        good_type("typ jwt", "jwt"),
        good_type("typ AT+JWT", "AT+JWT"),
        good_type("typ application/at+jwt", "application/at+jwt"),
        good(
            "typ missing where it may",
            world.draft().without_header("typ").sign(&P384),
        ),
        bad(
            "typ missing where it may not",
            world
                .second_draft()
                .without_header("typ")
                .sign(&SECOND_P384),
            "type",
            "only at+jwt",
        ),
        bad(
            "typ JWT where only at+jwt is accepted",
            world.second_draft().header("typ", "JWT").sign(&SECOND_P384),
            "type",
            "only at+jwt",
        ),
        not("typ of an ID token", "id+jwt"),
        not("typ of a logout token", "logout+jwt"),
        not("typ empty", ""),
        bad(
            "typ as a number",
            world.with_header("typ", 1),
            "type",
            "typ",
        ),
    ]
}
