//! Who wrote it, whom it is for, when it counts, and who has it.

use serde_json::{Value, json};

use super::{AUDIENCE_URI, Case, SECOND_P384, World, bad, good};
use crate::test_key::P384;
use crate::token_draft::{AUDIENCE, NOW, SCOPE, sign_texts};

pub(super) fn issuers_and_audiences(world: &World) -> Vec<Case> {
    let issuer = world.first.issuer();
    let unknown = "is not one of those configured";
    let not = |name, token| bad(name, token, "issuer", unknown);
    let for_another = |name, value: Value| {
        bad(
            name,
            world.with("aud", value),
            "audience",
            "is for the audience",
        )
    };
    let odd = |name, value: Value| {
        bad(
            name,
            world.with("aud", value),
            "audience",
            "is not a string or an array",
        )
    };
    vec![
        not(
            "iss of somebody else",
            world.with("iss", "https://evil.example"),
        ),
        not(
            "iss with a slash at the end",
            world.with("iss", format!("{issuer}/")),
        ),
        not(
            "iss in upper case",
            world.with("iss", issuer.to_uppercase()),
        ),
        not(
            "iss with a space before it",
            world.with("iss", format!(" {issuer}")),
        ),
        not(
            "iss that goes on",
            world.with("iss", format!("{issuer}.evil.example")),
        ),
        not(
            "iss cut short",
            world.with("iss", &issuer[..issuer.len() - 1]),
        ),
        not(
            "iss with a NUL at the end",
            world.with("iss", format!("{issuer}\0")),
        ),
        not("iss empty", world.with("iss", "")),
        bad(
            "iss missing",
            world.draft().without_claim("iss").sign(&P384),
            "issuer",
            "\"iss\" is missing",
        ),
        bad(
            "iss as an array",
            world.with("iss", json!([issuer])),
            "issuer",
            "is not a string",
        ),
        bad(
            "iss null",
            world.with("iss", Value::Null),
            "issuer",
            "is not a string",
        ),
        bad(
            "iss of the other issuer",
            world
                .draft()
                .claim("iss", world.second.issuer())
                .sign(&P384),
            "signature",
            "p384-1",
        ),
        good(
            "aud in an array",
            world.with("aud", json!(["other", AUDIENCE])),
        ),
        good("aud as a URI", world.with("aud", AUDIENCE_URI)),
        bad(
            "aud missing",
            world.draft().without_claim("aud").sign(&P384),
            "audience",
            "\"aud\" is missing",
        ),
        for_another("aud of another service", json!("kbroker-outbox")),
        for_another("aud that goes on", json!("kbroker-inbox.evil")),
        for_another("aud cut short", json!("kbroker")),
        for_another("aud in upper case", json!("KBROKER-INBOX")),
        for_another(
            "aud URI with a slash at the end",
            json!(format!("{AUDIENCE_URI}/")),
        ),
        for_another(
            "aud with two names in one string",
            json!("other kbroker-inbox"),
        ),
        for_another("aud as an empty array", json!([])),
        for_another("aud empty", json!("")),
        odd("aud as a number", json!(1)),
        odd("aud as an object", json!({"0": AUDIENCE})),
        odd("aud with a number in the array", json!([AUDIENCE, 1])),
        odd("aud in two arrays", json!([[AUDIENCE]])),
    ]
}

pub(super) fn times(world: &World) -> Vec<Case> {
    let expires = |name, value: Value| {
        bad(
            name,
            world.with("exp", value),
            "expiry",
            "the token expired",
        )
    };
    let no_time =
        |name, value: Value| bad(name, world.with("exp", value), "expiry", "is not a number");
    let raw = |exp: &str| {
        let claims = world.draft().claims.to_string();
        let claims = claims.replace(&(NOW + 3_600).to_string(), exp);
        sign_texts(&world.draft().header.to_string(), &claims, &P384)
    };
    vec![
        good("exp in a second", world.with("exp", NOW + 1)),
        good(
            "exp a minute ago, all but a second",
            world.with("exp", NOW - 59),
        ),
        good("exp with a fraction", world.with("exp", NOW as f64 + 0.5)),
        good("exp as a float", raw("1.8000036e9")),
        good(
            "exp in the year 9999",
            world.with("exp", 253_402_300_799_i64),
        ),
        expires("exp a minute ago", json!(NOW - 60)),
        expires("exp an hour ago", json!(NOW - 3_600)),
        expires("exp zero", json!(0)),
        bad(
            "exp missing",
            world.draft().without_claim("exp").sign(&P384),
            "expiry",
            "\"exp\" is missing",
        ),
        no_time("exp as a string", json!("9999999999")),
        no_time("exp null", Value::Null),
        no_time("exp true", json!(true)),
        no_time("exp as an array", json!([NOW + 3_600])),
        no_time("exp as an object", json!({})),
        no_time("exp negative", json!(-1)),
        no_time("exp in milliseconds", json!((NOW + 3_600) * 1_000)),
        no_time("exp of 64 bits", json!(u64::MAX)),
        bad("exp 1e300", raw("1e300"), "expiry", "is not a number"),
        bad("exp 1e400", raw("1e400"), "form", "not a JSON object"),
        bad("exp NaN", raw("NaN"), "form", "not a JSON object"),
        good("nbf now", world.with("nbf", NOW)),
        good("nbf in a minute", world.with("nbf", NOW + 60)),
        bad(
            "nbf in a minute and a second",
            world.with("nbf", NOW + 61),
            "not_before",
            "is valid only in 61 s",
        ),
        bad(
            "nbf as a string",
            world.with("nbf", "1"),
            "not_before",
            "is not a number",
        ),
        bad(
            "nbf null",
            world.with("nbf", Value::Null),
            "not_before",
            "is not a number",
        ),
        good(
            "iat in the future says nothing",
            world.with("iat", NOW + 1_000),
        ),
    ]
}

pub(super) fn callers(world: &World) -> Vec<Case> {
    let no_name = |name, value: Value| {
        bad(
            name,
            world.with("client_id", value),
            "principal",
            "client_id",
        )
    };
    let odd = |name, claim: &str, value: Value| {
        bad(
            name,
            world.with(claim, value),
            "scopes",
            "is not a string or an array",
        )
    };
    let nobody = world
        .draft()
        .without_claim("client_id")
        .without_claim("sub");
    vec![
        good(
            "azp instead of client_id",
            nobody.clone().claim("azp", "app").sign(&P384),
        ),
        good("sub alone", nobody.clone().claim("sub", "app").sign(&P384)),
        bad("nobody", nobody.sign(&P384), "principal", "is missing"),
        bad(
            "sub as a number beside a client_id",
            world.with("sub", 7),
            "principal",
            "\"sub\" is not a string",
        ),
        bad(
            "azp as an array beside a client_id",
            world.with("azp", json!(["integration-7"])),
            "principal",
            "\"azp\" is not a string",
        ),
        no_name("client_id as a number", json!(7)),
        no_name("client_id empty", json!("")),
        no_name("client_id with a NUL", json!("integration-7\0")),
        no_name("client_id with a line end", json!("integration-7\nadmin")),
        no_name("client_id of a kilobyte", json!("i".repeat(1_000))),
        bad(
            "the configured claim missing",
            world.second_draft().without_claim("sub").sign(&SECOND_P384),
            "principal",
            "\"sub\"",
        ),
        good(
            "no scope at all",
            world.draft().without_claim("scope").sign(&P384),
        ),
        odd("scope as a number", "scope", json!(1)),
        odd("scope as an object", "scope", json!({"0": SCOPE})),
        odd("scope null", "scope", Value::Null),
        odd("scp with a number in the array", "scp", json!([SCOPE, 1])),
        odd(
            "permissions with objects",
            "permissions",
            json!([{"name": SCOPE}]),
        ),
    ]
}
