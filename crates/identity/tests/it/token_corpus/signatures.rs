//! Signatures that are right, and those that are not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Case, FOREIGN_P384, FOREIGN_RSA, SECOND_P384, World, bad, good};
use crate::test_key::{ED25519, P256, P384, RSA, encoded};
use crate::token_draft::{Draft, message_of};

pub(super) fn signatures(world: &World) -> Vec<Case> {
    let draft = world.draft();
    let issuer = world.first.issuer();
    let signed = draft.sign(&P384);
    let (message, signature) = signed.rsplit_once('.').unwrap();
    let richer = draft
        .clone()
        .claim("scope", "everything")
        .claims
        .to_string();
    let tampered = message_of(&draft.header.to_string(), &richer);
    let padded = [[0_u8; 1].as_slice(), &P384.sign(message.as_bytes())].concat();
    let zeros = [encoded(&[0; 96]), encoded(&[0; 64]), encoded(&[0xff; 96])];
    let p256 = Draft::new(&issuer, &P256);
    vec![
        good("ES384", draft.sign(&P384)),
        good("ES256", p256.sign(&P256)),
        good("RS256", Draft::new(&issuer, &RSA).sign(&RSA)),
        good("EdDSA", Draft::new(&issuer, &ED25519).sign(&ED25519)),
        bad(
            "key of somebody else, ES384",
            draft.sign(&FOREIGN_P384),
            "signature",
            "p384-1",
        ),
        bad(
            "key of somebody else, RS256",
            Draft::new(&issuer, &RSA).sign(&FOREIGN_RSA),
            "signature",
            "rsa-1",
        ),
        bad(
            "key of the other issuer under the same id",
            draft.sign(&SECOND_P384),
            "signature",
            "p384-1",
        ),
        bad(
            "tampered claims",
            format!("{tampered}.{signature}"),
            "signature",
            "",
        ),
        bad("empty signature", format!("{message}."), "signature", ""),
        bad(
            "half a signature",
            format!("{message}.{}", &signature[..64]),
            "signature",
            "",
        ),
        bad(
            "a byte before the signature",
            format!("{message}.{}", encoded(&padded)),
            "signature",
            "",
        ),
        bad(
            "signature of zeros",
            format!("{message}.{}", zeros[0]),
            "signature",
            "",
        ),
        bad(
            "signature of zeros, ES256",
            p256.with_signature(&zeros[1]),
            "signature",
            "",
        ),
        bad(
            "signature of ones",
            format!("{message}.{}", zeros[2]),
            "signature",
            "",
        ),
        bad(
            "signature as DER",
            format!("{message}.{}", as_der(signature)),
            "signature",
            "",
        ),
        bad(
            "signature in standard base64",
            format!("{message}.{}==", signature.replace(['-', '_'], "+")),
            "signature",
            "",
        ),
    ]
}

/// An ECDSA signature as X.509 writes it, where JWS has two numbers of a fixed length.
fn as_der(signature: &str) -> String {
    let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let integer = |number: &[u8]| {
        let number = [&[0], number].concat();
        [&[0x02, number.len() as u8], number.as_slice()].concat()
    };
    let (r, s) = raw.split_at(raw.len() / 2);
    let contents = [integer(r), integer(s)].concat();
    encoded(&[&[0x30, contents.len() as u8], contents.as_slice()].concat())
}
