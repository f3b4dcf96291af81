//! Texts that look like a token, more or less.

use super::{Case, World, bad, good};
use crate::test_key::P384;
use crate::token_draft::sign_texts;

pub(super) fn forms(world: &World) -> Vec<Case> {
    let draft = world.draft();
    let signed = draft.sign(&P384);
    let parts: Vec<_> = signed.split('.').collect();
    let (header, claims) = (draft.header.to_string(), draft.claims.to_string());
    let signed_as = |header: &str, claims: &str| sign_texts(header, claims, &P384);
    let not = |name, token| bad(name, token, "form", "");
    let twice = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1);
    let huge = draft.claim("x", "x".repeat(8 << 10)).sign(&P384);
    let nested = format!("{}{}", "[".repeat(2_900), "]".repeat(2_900));
    let bomb = claims.replacen('{', &format!("{{\"x\":{nested},"), 1);
    vec![
        not("nothing", String::new()),
        not("points only", "..".to_owned()),
        not("one part", parts[0].to_owned()),
        not("two parts", parts[..2].join(".")),
        not("four parts", format!("{signed}.")),
        not(
            "five parts, as an encrypted token has",
            format!("{signed}.a.b"),
        ),
        not("a point before it", format!(".{signed}")),
        not("no header", format!(".{}.{}", parts[1], parts[2])),
        not("no claims", format!("{}..{}", parts[0], parts[2])),
        not(
            "cut short in the claims",
            signed[..parts[0].len() + 20].to_owned(),
        ),
        not("a space before it", format!(" {signed}")),
        not(
            "a line end after the claims",
            format!("{}.{}\n.{}", parts[0], parts[1], parts[2]),
        ),
        bad(
            "a line end after it",
            format!("{signed}\n"),
            "signature",
            "",
        ),
        not("Bearer before it", format!("Bearer {signed}")),
        not(
            "padding",
            format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
        ),
        not(
            "not base64",
            format!("{}!.{}.{}", parts[0], parts[1], parts[2]),
        ),
        not("standard base64", format!("+/+/.{}.{}", parts[1], parts[2])),
        not(
            "a NUL in it",
            format!("{}\0.{}.{}", parts[0], parts[1], parts[2]),
        ),
        not(
            "letters beyond ASCII",
            format!("{}ü.{}.{}", parts[0], parts[1], parts[2]),
        ),
        not(
            "an API key",
            "flk_abcdefghij_0000000000000000000000000000000000000000000".to_owned(),
        ),
        bad(
            "8 KiB of points",
            ".".repeat(8 << 10),
            "form",
            "three parts",
        ),
        bad("larger than 8 KiB", huge, "form", "at most 8192"),
        bad("a megabyte", "a".repeat(1 << 20), "form", "at most 8192"),
        not("header is an array", signed_as("[]", &claims)),
        not("header is not JSON", signed_as("{alg:ES384}", &claims)),
        not(
            "header has something after it",
            signed_as(&format!("{header}{header}"), &claims),
        ),
        not(
            "header begins with a mark of UTF-8",
            signed_as(&format!("\u{feff}{header}"), &claims),
        ),
        not("claims are a string", signed_as(&header, "\"claims\"")),
        not(
            "claims are a token, as nested ones have",
            signed_as(&header, &signed),
        ),
        not("claims are empty", signed_as(&header, "")),
        not("claims are nested too deep", signed_as(&header, &bomb)),
        bad(
            "a claim twice",
            signed_as(&header, &twice(&claims, "\"exp\":9999999999")),
            "form",
            "\"exp\" stands more than once in the claims",
        ),
        bad(
            "a claim twice, once with escapes",
            signed_as(&header, &twice(&claims, "\"\\u0065xp\":9999999999")),
            "form",
            "\"exp\"",
        ),
        bad(
            "iss twice",
            signed_as(&header, &twice(&claims, "\"iss\":\"x\"")),
            "form",
            "\"iss\"",
        ),
        bad(
            "a member of a claim twice",
            signed_as(&header, &twice(&claims, "\"x\":{\"y\":1,\"y\":2}")),
            "form",
            "\"y\"",
        ),
        bad(
            "a header twice",
            signed_as(&twice(&header, "\"alg\":\"none\""), &claims),
            "form",
            "\"alg\" stands more than once in the header",
        ),
        bad(
            "kid twice",
            signed_as(&twice(&header, "\"kid\":\"x\""), &claims),
            "form",
            "\"kid\"",
        ),
        good(
            "spaces in the JSON",
            signed_as(&header.replace(',', " ,\n"), &claims),
        ),
    ]
}
