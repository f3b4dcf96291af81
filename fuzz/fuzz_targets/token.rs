//! Arbitrary text as a token, as its claims, as a document with keys and as an API key: nothing
//! panics, and nothing is accepted but the one token that was ever signed.

#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flotilla_identity::{ApiKey, IssuerConfig, KeySet, check_token};
use flotilla_types::Timestamp;
use libfuzzer_sys::fuzz_target;

/// Its private half signed the token of the seeds and is gone.
const KEYS: &str = r#"{"keys":[{"alg":"ES384","crv":"P-384","kid":"p384-1","kty":"EC","use":"sig",
"x":"RmsZtWYvu9O2bAYyyF1j_rVLVZe_wHwEDyKtNWnddPEeeNXGXbzpSARuGsoaU0uO",
"y":"rM9UdlcGRyFZFJRY_lOmDGE8vX1p0pB6MnzGVoGMjOLYPFg10qDcRVsCbN5Dw8Mn"}]}"#;
const GOOD_TOKEN: &str = include_str!("../seeds/token/good");
const HEADER: &str = r#"{"alg":"ES384","kid":"p384-1"}"#;
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

static KEY_SET: LazyLock<KeySet> =
    LazyLock::new(|| KeySet::from_json(KEYS.as_bytes()).expect("the keys are sound"));
static CONFIG: LazyLock<IssuerConfig> =
    LazyLock::new(|| IssuerConfig::new("https://logto.example/oidc", &["kbroker-inbox"]));

fuzz_target!(|text: &str| {
    let is_good = check_token(&KEY_SET, &CONFIG, text, NOW).is_ok();
    assert_eq!(is_good, text == GOOD_TOKEN);

    // A mutation hardly ever leaves base64 with JSON in it, so the way to the claims leads past it.
    let [header, claims] = [HEADER, text].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signature = GOOD_TOKEN
        .rsplit('.')
        .next()
        .expect("a token has a signature");
    let forged = format!("{header}.{claims}.{signature}");
    assert!(check_token(&KEY_SET, &CONFIG, &forged, NOW).is_err());

    if let Ok(keys) = KeySet::from_json(text.as_bytes()) {
        assert!(keys.count() > 0);
        assert!(check_token(&keys, &CONFIG, &forged, NOW).is_err());
    }
    if let Ok(key) = ApiKey::parse(text) {
        assert_eq!(key.reveal(), text);
        assert!(key.hash().verify(&key));
    }
});
